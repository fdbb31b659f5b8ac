//! What no client may exceed, and what clients cannot do to logs and metrics.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::{Answer, Client, Raw, TestServer};

async fn labels(anybody: &Client) -> BTreeSet<String> {
    let text = anybody.get("/metrics").await.text().to_owned();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.rsplit_once(' ').map(|(sample, _)| sample.to_owned())).collect()
}

#[tokio::test]
async fn a_head_above_16_kib_is_431_and_the_server_goes_on() {
    let server = TestServer::spawn().await;
    let with =
        |bytes: usize| server.anonymous().request("GET", "/api/v1/liveness").header("x-filler", "x".repeat(bytes));
    assert_eq!(Answer::of(with(15 * 1024)).await.status, 200);
    Answer::of(with(17 * 1024)).await.refused(431, "headers_too_large");
    let target = format!("/api/v1/liveness?{}", "x".repeat(17 * 1024));
    Answer::of(server.anonymous().request("GET", &target)).await.refused(431, "headers_too_large");
    assert_eq!(server.anonymous().get("/api/v1/liveness").await.status, 200);
}

#[tokio::test]
async fn heads_without_end_are_refused_without_harm() {
    let server = TestServer::spawn().await;
    let many: String = (0..500).map(|n| format!("x-{n}: y\r\n")).collect();
    let huge = format!("x-huge: {}\r\n", "x".repeat(256 * 1024));
    for headers in [many, huge] {
        let mut raw = Raw::connect(server.url());
        raw.send(format!("GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\n{headers}\r\n"));
        let answer = tokio::task::spawn_blocking(move || raw.read_answer()).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    for nonsense in ["\r\n\r\n\r\n\0\0\0", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut raw = Raw::connect(server.url());
        raw.send(nonsense);
        let answer = tokio::task::spawn_blocking(move || raw.read_answer()).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{nonsense:?}: {answer}");
    }
    assert_eq!(server.anonymous().get("/api/v1/liveness").await.status, 200);
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_given_up() {
    let server =
        TestServer::spawn_with(|setup| setup.config.http.request_head_timeout = Duration::from_millis(300)).await;
    let mut raw = Raw::connect(server.url());
    raw.send("GET /api/v1/liveness HTTP/1.1\r\nhost: x\r\nx-slow: ");
    let answer = tokio::task::spawn_blocking(move || raw.read_to_end()).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_json_body_above_its_cap_is_413() {
    let server = TestServer::spawn().await;
    let padded = |bytes: usize| format!("{{\"tenantId\":\"acme\"{}}}", " ".repeat(bytes - 19));
    let post = |body: String| {
        let request = server.admin().request("POST", "/api/v1/tenants").header("content-type", "application/json");
        Answer::of(request.body(body))
    };
    post(padded(128 * 1024 + 1)).await.refused(413, "payload_too_large");
    assert_eq!(post(padded(128 * 1024)).await.status, 201);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_408() {
    let server =
        TestServer::spawn_with(|setup| setup.config.http.request_body_timeout = Duration::from_millis(300)).await;
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    let mut raw = Raw::connect(server.url());
    raw.send(format!(
        "POST /api/v1/logstream/web HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: 100\r\n\r\n{{\"a\":",
        sender.api_key
    ));
    let answer = tokio::task::spawn_blocking(move || raw.read_answer()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    assert!(!server.path("streams/web").exists());
}

#[tokio::test]
async fn a_body_that_ends_early_stores_nothing() {
    let server = TestServer::spawn().await;
    let sender = server.admin().issue("default", "shipper", "ingestion").await;
    let mut raw = Raw::connect(server.url());
    raw.send(format!(
        "POST /api/v1/logstream/web HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-length: 100\r\n\r\n{{\"a\":1}}\n",
        sender.api_key
    ));
    drop(raw);
    assert_eq!(server.with_key(&sender.api_key).ingest("other", "{}").await.status, 200);
    server.app.ingest.drain().await;
    assert!(!server.path("streams/web").exists());
}

#[tokio::test]
async fn a_request_id_comes_back_when_it_is_well_formed_and_is_replaced_otherwise() {
    let server = TestServer::spawn().await;
    let ask = async |id: Option<&str>, path: &str| {
        let request = server.anonymous().request("GET", path);
        let request = id.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        Answer::of(request).await.header("x-request-id").unwrap().to_owned()
    };
    for path in ["/api/v1/liveness", "/api/v1/whoami", "/nowhere"] {
        assert_eq!(ask(Some("abc-1.2_3"), path).await, "abc-1.2_3");
        let (one, other) = (ask(None, path).await, ask(None, path).await);
        assert!(one != other && one.len() == 36, "{one} {other}");
    }
    let (longest, too_long) = ("x".repeat(48), "x".repeat(49));
    assert_eq!(ask(Some(&longest), "/api/v1/liveness").await, longest);
    for bad in ["", "a b", "a\"b", "a/b", "{}", &too_long] {
        assert_eq!(ask(Some(bad), "/api/v1/liveness").await.len(), 36, "{bad}");
    }
}

#[tokio::test]
async fn no_client_makes_a_metric_grow_a_label() {
    let server = TestServer::spawn().await;
    let (anybody, admin) = (server.anonymous(), server.admin());
    let sweep = async |word: &str| {
        for method in ["GET", "POST", "PATCH", "DELETE", "PUT", &word.to_uppercase()] {
            let paths = [
                format!("/{word}"),
                format!("/api/v1/{word}?{word}={word}"),
                format!("/api/v1/tenants/{word}"),
                format!("/api/v1/tenants/{word}/apikeys/{word}"),
                format!("/api/v1/logstream/{word}"),
                format!("/api/v1/sessions/{word}"),
            ];
            for path in paths {
                Answer::of(anybody.request(method, &path).header("x-api-key", word).header("x-tenant-id", word)).await;
                Answer::of(admin.request(method, &path).header("x-p-stream", word)).await;
            }
        }
    };
    sweep("qwert1").await;
    labels(&anybody).await;
    let before = labels(&anybody).await;
    for word in ["qwert2", "kl_qry_qwert3", "qwert-4"] {
        sweep(word).await;
    }
    let after = labels(&anybody).await;
    assert!(before.iter().any(|sample| sample.contains("route=\"/api/v1/tenants/{tenant}\"")), "{before:?}");
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(after.iter().all(|sample| !sample.to_lowercase().contains("qwert")), "{after:?}");
}
