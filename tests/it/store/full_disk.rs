//! Writes that fail, as on a full disk, of requests and in the middle of a merge. What fails is real: no file may grow
//! beyond a limit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Process};

const LIMIT: u64 = 64 << 10;
const REQUESTS: u64 = 12;
const EVENTS: u64 = 40;

/// Events whose texts do not compress well: about 25 KiB an object.
fn body(request: u64) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ (request + 1);
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[(state >> 32) as usize % 64])
    };
    let text = |n| json!({"n": request * EVENTS + n, "text": (0..800).map(|_| letter()).collect::<String>()});
    Value::from((0..EVENTS).map(text).collect::<Vec<_>>()).to_string()
}

async fn rows(reader: &Client) -> Value {
    let answer = reader.query("SELECT n, text FROM web ORDER BY n").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "half a minute passed and still not: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_full_disk_in_the_middle_of_a_merge_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let process = Process::serve(&store, &["--compaction-interval", "300ms", "--ingest-window", "1ms"]);
    let admin = process.admin(process.admin_token().unwrap());
    admin.until_ready().await;
    let writer = admin.issue("default", "writer", "ingestion").await.api_key;
    let reader = admin.issue("default", "reader", "query").await.api_key;
    process.limit_files(Some(LIMIT));
    for request in 0..REQUESTS {
        let answer = process.with_key(&writer).ingest("web", body(request)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let stored = rows(&process.with_key(&reader)).await;
    assert_eq!(stored.as_array().unwrap().len() as u64, REQUESTS * EVENTS);
    let log = || std::fs::read_to_string(store.with_extension("log")).unwrap();
    let merged =
        || files(&store.join("streams/web")).iter().filter(|file| file.parent().unwrap().ends_with("merged")).count();
    until("a merge fails twice", || log().matches("a day could not be compacted").count() > 1).await;
    assert_eq!(rows(&process.with_key(&reader)).await, stored);
    assert_eq!(merged(), 0, "of what failed, nothing stays: {:?}", files(&store.join("streams/web")));
    process.limit_files(None);
    until("all is merged", || merged() > 0).await;
    assert_eq!(rows(&process.with_key(&reader)).await, stored);
    drop(process);
    let process = Process::serve(&store, &[]);
    process.anonymous().until_ready().await;
    assert_eq!(rows(&process.with_key(&reader)).await, stored);
}

#[tokio::test]
async fn beyond_a_file_size_limit_writes_are_refused_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut process = Process::serve(&store, &["--ingest-window", "1ms"]);
    let admin = process.admin(process.admin_token().unwrap());
    admin.until_ready().await;
    let writer = process.with_key(&admin.issue("default", "writer", "ingestion").await.api_key);
    let reader = process.with_key(&admin.issue("default", "reader", "query").await.api_key);
    assert_eq!(writer.ingest("web", r#"{"n": 1, "text": "a"}"#).await.status, 200);
    process.limit_files(Some(0));
    for _ in 0..3 {
        writer.ingest("web", r#"{"n": 2, "text": "b"}"#).await.refused(503, "store_unavailable");
    }
    let another = json!({"keyName": "another", "keyType": "query"});
    admin.post("/api/v1/tenants/default/apikeys", another.clone()).await.refused(503, "store_unavailable");
    assert_eq!(rows(&reader).await, json!([{"n": 1, "text": "a"}]));
    process.limit_files(None);
    assert_eq!(writer.ingest("web", r#"{"n": 3, "text": "c"}"#).await.status, 200);
    assert_eq!(rows(&reader).await, json!([{"n": 1, "text": "a"}, {"n": 3, "text": "c"}]));
    assert_eq!(admin.post("/api/v1/tenants/default/apikeys", another).await.status, 201);
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0), "it was the same process, and it ends in order");
}
