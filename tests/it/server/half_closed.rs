//! Clients that close their sending side once they have asked, as `nc -N` does, and clients that are gone.

use std::time::{Duration, Instant};

use keyloft::testing::HANG_UP_GRACE;
use serde_json::json;

use crate::support::scene::{COMPUTING, STREAMING};
use crate::support::{Raw, Scene};

/// Sends a whole request, closes the sending side, and reads what comes.
async fn ask(scene: &Scene, request: String) -> String {
    let mut raw = Raw::connect(scene.server.url());
    let ask = move || {
        raw.send(request);
        raw.finish_sending();
        String::from_utf8(raw.read_to_end()).unwrap()
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

fn post(path: &str, api_key: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {api_key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_client_that_has_asked_and_closes_its_sending_side_gets_its_answer() {
    let scene = Scene::new().await;
    for _ in 0..5 {
        let answer = ask(&scene, post("/api/v1/logstream/half", &scene.sender.api_key, "{\"a\":1}")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"accepted\":1"), "{answer}");
        let sql = json!({"query": "SELECT count(*) AS n FROM quakes"}).to_string();
        let answer = ask(&scene, post("/api/v1/query", &scene.reader.api_key, &sql)).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("[{\"n\":"), "{answer}");
        let answer = ask(&scene, "GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = ask(&scene, post("/api/v1/logstream/half", "unknown", "{\"a\":1}")).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let count = scene.reading().query("SELECT count(*) AS n FROM half").await.json();
    assert_eq!(count, json!([{"n": 5}]), "each was stored once");
    // What has not arrived whole is no request.
    let answer =
        ask(&scene, post("/api/v1/logstream/half", &scene.sender.api_key, "{\"a\":1}").replace("{\"a\"", "{")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let count = scene.reading().query("SELECT count(*) AS n FROM half").await.json();
    assert_eq!(count, json!([{"n": 5}]));
}

/// The server cannot distinguish such a client from one that is gone: its query ends unless rows come in time.
#[tokio::test]
async fn a_query_whose_client_may_be_gone_ends_soon() {
    let scene = Scene::new().await;
    let raw = Raw::query(scene.server.url(), &scene.reader.api_key, COMPUTING);
    scene.until_computing().await;
    raw.finish_sending();
    let start = Instant::now();
    scene.until_idle().await;
    assert!(start.elapsed() < HANG_UP_GRACE + Duration::from_secs(3), "{:?}", start.elapsed());
}

/// As long as rows are taken, the client is there.
#[tokio::test]
async fn a_client_that_has_closed_its_sending_side_gets_all_rows() {
    let scene = Scene::new().await;
    let mut raw = Raw::query(scene.server.url(), &scene.reader.api_key, STREAMING);
    raw.finish_sending();
    let read = move || {
        let (start, mut bytes) = (Instant::now(), 0);
        while start.elapsed() < HANG_UP_GRACE * 2 {
            let some = raw.read_some();
            assert!(!some.is_empty(), "broken off after {bytes} bytes and {:?}", start.elapsed());
            bytes += some.len();
            // Slowly, so that the server waits for the client for longer than it would for one that is gone.
            std::thread::sleep(Duration::from_millis(20));
        }
        raw
    };
    let raw = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(scene.server.open_sessions(), 1);
    drop(raw);
    scene.until_idle().await;
}
