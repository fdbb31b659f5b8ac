//! A request is stored whole or not at all, durably, and often together with others.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use keyloft::Bucket;
use serde_json::json;

use crate::support::scene::people;
use crate::support::{Answer, Client, Fault, Faults, Faulty, TestServer};

async fn count(reader: &Client, stream: &str) -> u64 {
    let answer = reader.query(&format!("SELECT count(*) AS n FROM {stream}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()[0]["n"].as_u64().unwrap()
}

/// How many event files a stream has.
fn files(server: &TestServer, stream: &str) -> usize {
    let days = std::fs::read_dir(server.path(&format!("streams/{stream}"))).unwrap();
    let days = days.map(|day| day.unwrap().path()).filter(|day| day.is_dir());
    let files = days.flat_map(|day| std::fs::read_dir(day).unwrap());
    files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "parquet")).count()
}

#[tokio::test]
async fn a_request_with_a_broken_line_names_it_and_stores_nothing() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    assert_eq!(sender.ingest("web", "{\"a\":0}").await.status, 200);
    let deep = format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65));
    let bad = [
        ("{\"a\":secret}", "is not JSON"),
        ("{\"a\":1", "is not JSON"),
        ("{\"a\":1,\"a\":2}", "`a`"),
        ("{\"a\":1,\"\\u0061\":2}", "`a`"),
        ("{\"b\":\"\\ud800\"}", "is not JSON"),
        ("{\"p_timestamp\":1}", "`p_timestamp`"),
        ("{\"p_x\":1}", "`p_x`"),
        ("{\"a\":18446744073709551616}", "64 bits"),
        ("7", "JSON object"),
        (&deep, "deeper than 64"),
    ];
    for (line, why) in bad {
        let body = format!("{{\"a\":1}}\n{{\"a\":2}}\n{line}\n{{\"a\":3}}");
        let request = sender.request("POST", "/api/v1/logstream/web").header("content-type", "application/x-ndjson");
        let answer = Answer::of(request.body(body)).await;
        answer.refused(400, "invalid_request");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.starts_with("line 3: ") && detail.contains(why) && !detail.contains("secret"),
            "{line}: {detail}"
        );
    }
    assert_eq!((count(&reader, "web").await, files(&server, "web")), (1, 1));
    sender.ingest("fresh", "{\"a\":1}\nbroken").await.refused(400, "invalid_request");
    assert!(!server.path("streams/fresh").exists(), "a refused request creates no stream");
}

#[tokio::test]
async fn a_field_that_changes_its_type_is_named_and_nothing_is_stored() {
    let server = TestServer::spawn().await;
    let (sender, reader) = people(&server).await;
    assert_eq!(sender.ingest("web", "{\"size\":1,\"who\":\"x\",\"ok\":true}").await.status, 200);
    for (line, field) in [("{\"size\":\"1\"}", "`size`"), ("{\"who\":1}", "`who`"), ("{\"ok\":\"true\"}", "`ok`")] {
        let answer = sender.ingest("web", format!("{{\"size\":2}}\n{{\"new\":1}}\n{line}")).await;
        answer.refused(400, "invalid_request");
        assert!(answer.json()["detail"].as_str().unwrap().contains(field), "{}", answer.text());
    }
    assert_eq!(count(&reader, "web").await, 1);
    reader.query("SELECT new FROM web").await.refused(400, "invalid_query");
    assert_eq!(sender.ingest("web", "{\"new\":\"text\"}").await.status, 200);
}

#[tokio::test]
async fn requests_that_come_together_share_objects() {
    let server = TestServer::spawn_with(|setup| setup.config.ingest.window = Some(Duration::from_millis(100))).await;
    let (sender, reader) = people(&server).await;
    let answers = join_all((0..64).map(|n| sender.ingest("web", format!("{{\"n\":{n}}}\n{{\"n\":{n}}}")))).await;
    for answer in answers {
        assert_eq!(answer.json(), json!({"stream": "web", "accepted": 2}));
    }
    let found = reader.query("SELECT count(*) AS n, count(DISTINCT n) AS d FROM web").await.json();
    assert_eq!(found, json!([{"n": 128, "d": 64}]));
    assert!(files(&server, "web") <= 16, "{} objects for 64 requests", files(&server, "web"));
}

#[tokio::test]
async fn in_a_group_only_the_request_that_conflicts_is_refused() {
    let server = TestServer::spawn_with(|setup| setup.config.ingest.window = Some(Duration::from_millis(300))).await;
    let (sender, reader) = people(&server).await;
    assert_eq!(sender.ingest("web", "{\"n\":0}").await.status, 200);
    let bodies = (0..12).map(|n| if n % 4 == 1 { "{\"n\":\"text\"}".to_owned() } else { format!("{{\"n\":{n}}}") });
    let answers = join_all(bodies.map(|body| sender.ingest("web", body))).await;
    for (n, answer) in answers.iter().enumerate() {
        if n % 4 == 1 {
            answer.refused(400, "invalid_request");
        } else {
            assert_eq!(answer.json(), json!({"stream": "web", "accepted": 1}));
        }
    }
    assert_eq!(count(&reader, "web").await, 10);
    assert!(files(&server, "web") < 6, "the requests were not grouped");
}

#[tokio::test]
async fn events_that_a_store_refuses_are_503_and_not_there() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let (sender, reader) = people(&server).await;
    assert_eq!(sender.ingest("web", "{\"n\":0}").await.status, 200);
    faults.inject(Fault::ErrorBefore, |call| call.is_write() && call.is_about(".parquet"));
    for answer in join_all((0..8).map(|_| sender.ingest("web", "{\"n\":1}"))).await {
        answer.refused(503, "store_unavailable");
        assert!(answer.header("retry-after").is_some());
        assert!(!answer.text().contains("failed on purpose"), "{}", answer.text());
    }
    let of_a_stream = [".parquet", "schema.json"];
    faults.inject(Fault::ErrorBefore, move |call| call.is_write() && of_a_stream.iter().any(|end| call.is_about(end)));
    sender.ingest("fresh", "{\"n\":1}").await.refused(503, "store_unavailable");
    sender.ingest("web", "{\"new\":1}").await.refused(503, "store_unavailable");
    faults.none();
    assert_eq!(count(&reader, "web").await, 1);
    assert_eq!(sender.ingest("web", "{\"n\":2,\"new\":1}").await.status, 200);
    assert_eq!(sender.ingest("fresh", "{\"n\":2}").await.status, 200);
    assert_eq!(reader.query("SELECT sum(n) AS n FROM web").await.json(), json!([{"n": 2}]));
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_503_for_queries_and_never_a_refusal_of_the_key() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await;
    let (sender, reader) = people(&server).await;
    assert_eq!(sender.ingest("web", "{\"n\":7}").await.status, 200);
    faults.inject(Fault::ErrorBefore, |call| !call.is_write());
    let answer = reader.query("SELECT n FROM web").await;
    answer.refused(503, "store_unavailable");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(reader.get("/api/v1/whoami").await.status, 200);
    assert_eq!(reader.query("SELECT 1 AS x").await.status, 200);
    faults.none();
    assert_eq!(reader.query("SELECT n FROM web").await.json(), json!([{"n": 7}]));
}
