//! A node that was stopped for longer than its deadlines reads what has arrived meanwhile: a refusal would make
//! shippers drop it.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Process, Raw, TestServer};

/// The deadline of heads and bodies.
const TIMEOUT: &str = "1s";
const STOP: Duration = Duration::from_secs(3);

fn head(key: &str, length: usize) -> String {
    format!(
        "POST /api/v1/logstream/web HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}

fn whole(key: &str, body: &str) -> String {
    head(key, body.len()) + body
}

#[tokio::test]
async fn what_arrives_while_a_node_is_stopped_is_taken_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let process = Process::serve(&store, &["--request-head-timeout", TIMEOUT, "--request-body-timeout", TIMEOUT]);
    let admin = process.admin(process.admin_token().unwrap());
    let key = admin.issue("default", "shipper", "ingestion").await.api_key;
    let reader = process.with_key(&admin.issue("default", "dashboard", "query").await.api_key);
    let (small, large) = (whole(&key, "{\"a\":1}"), whole(&key, &format!("{{\"b\":\"{}\"}}", "x".repeat(4_000_000))));
    let mut taken = 0;
    for (case, before, during) in [
        ("on a new connection", "", small.as_str()),
        ("a large body", "", &large),
        ("the end of a head", &small[..40], &small[40..]),
        ("the end of a body", &small[..small.len() - 3], &small[small.len() - 3..]),
        ("on a kept connection", &small, &small),
        ("the end of a head on a kept connection", &format!("{small}{}", &small[..40]), &small[40..]),
    ] {
        let is_kept = before.starts_with(&small);
        let mut early = Raw::connect(process.url());
        early.send(before);
        if is_kept {
            assert!(early.read_answer().starts_with("HTTP/1.1 200"), "{case}");
        }
        // The server has accepted it, and waits for more.
        tokio::time::sleep(Duration::from_millis(200)).await;
        process.signal("STOP");
        let mut late = Raw::connect(process.url());
        let (rest, request) = (during.to_owned(), [&small, during][usize::from(case == "a large body")].to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            let sent = std::thread::spawn(move || {
                early.send(rest);
                early.read_answer()
            });
            late.send(request);
            [late.read_answer(), sent.join().unwrap()]
        });
        tokio::time::sleep(STOP).await;
        process.signal("CONT");
        for answer in asked.await.unwrap() {
            assert!(answer.starts_with("HTTP/1.1 200"), "{case}: {answer}");
        }
        taken += 2 + usize::from(is_kept);
    }
    let count = reader.query("SELECT count(*) AS n FROM web").await.json();
    assert_eq!(count, json!([{"n": taken}]), "each was stored once");
}

#[tokio::test]
async fn many_clients_can_connect_while_a_node_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::serve(&folder.path().join("store"), &[]);
    let address = process.url().strip_prefix("http://").unwrap().parse().unwrap();
    process.signal("STOP");
    let connect = move || {
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(500));
        (0..500).map(connect).collect::<Result<Vec<_>, _>>()
    };
    let connected = tokio::task::spawn_blocking(connect).await.unwrap();
    process.signal("CONT");
    assert_eq!(connected.unwrap().len(), 500);
    assert_eq!(process.anonymous().get("/api/v1/liveness").await.status, 200);
}

/// Not only the first request of a connection has a deadline for its head.
#[tokio::test]
async fn a_head_that_comes_too_slowly_is_given_up_on_a_kept_connection_too() {
    let timeout = Duration::from_millis(400);
    let server = TestServer::spawn_with(|setup| setup.config.http.request_head_timeout = timeout).await;
    let request = "GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\n\r\n";
    for pause in [Duration::from_secs(60), Duration::from_millis(50)] {
        let mut raw = Raw::connect(server.url());
        let dribble = tokio::task::spawn_blocking(move || {
            raw.send(request);
            assert!(raw.read_answer().starts_with("HTTP/1.1 200"));
            raw.send(request);
            assert!(raw.read_answer().starts_with("HTTP/1.1 200"), "a whole head has no deadline any more");
            let start = Instant::now();
            for byte in request[..20].bytes() {
                if raw.try_send([byte]).is_err() {
                    break;
                }
                if raw.try_read_some(pause.min(timeout * 4)).is_ok() {
                    break;
                }
            }
            assert_eq!(raw.read_to_end(), b"", "no answer: clients may try again");
            start.elapsed()
        });
        let elapsed = dribble.await.unwrap();
        assert!(elapsed >= timeout && elapsed < timeout * 4, "{elapsed:?}");
    }
}

/// A connection between requests is no slow head.
#[tokio::test]
async fn a_kept_connection_outlasts_the_deadline_of_heads() {
    let timeout = Duration::from_millis(200);
    let server = TestServer::spawn_with(|setup| setup.config.http.request_head_timeout = timeout).await;
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    let mut raw = Raw::connect(server.url());
    let ask = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            raw.send(whole(&sender.api_key, "{\"a\":1}"));
            assert!(raw.read_answer().starts_with("HTTP/1.1 200"));
            std::thread::sleep(timeout * 4);
        }
    });
    ask.await.unwrap();
}
