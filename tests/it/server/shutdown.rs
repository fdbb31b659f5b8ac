//! The real binary, stopped in order and not: what was acknowledged is there afterwards.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::scene::COMPUTING;
use crate::support::{Process, events};

/// A store folder inside a folder of its own, where the log of the server goes too.
struct Place {
    _folder: tempfile::TempDir,
    store: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        Self { _folder: folder, store }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.store.with_extension("log")).unwrap()
    }
}

/// Starts a server for the first time and issues its keys.
async fn first_start(place: &Place, options: &[&str]) -> (Process, String, String) {
    let process = Process::serve(&place.store, options);
    let admin = process.admin(process.admin_token().unwrap());
    process.anonymous().until_ready().await;
    let sender = admin.issue("default", "shipper", "ingestion").await.api_key;
    let reader = admin.issue("default", "dashboard", "query").await.api_key;
    (process, sender, reader)
}

/// What became of the batches that were sent.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

const TASKS: u64 = 6;
const BATCH: u64 = 5;

/// Sends batches from several tasks until the server is gone; `enough` runs once some are acknowledged.
async fn send_until_gone(process: &Process, api_key: &str, enough: impl FnOnce(&Process)) -> Sent {
    let count = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (sender, count) = (process.with_key(api_key), count.clone());
            tokio::spawn(async move {
                let mut sent = Sent::default();
                for batch in 0.. {
                    let ids = (0..BATCH).map(|n| task * 1_000_000 + batch * BATCH + n);
                    let body: String = ids.clone().map(|id| format!("{{\"id\":{id}}}\n")).collect();
                    let request = sender.request("POST", "/api/v1/ingest").header("x-p-stream", "load").body(body);
                    // Without an answer the outcome of a batch is unknown.
                    let Ok(answer) = request.send().await else { return sent };
                    match answer.status().as_u16() {
                        200 => {
                            sent.acknowledged.extend(ids);
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        503 => sent.refused.extend(ids),
                        other => panic!("{other}"),
                    }
                }
                sent
            })
        })
        .collect();
    let start = Instant::now();
    while count.load(Ordering::SeqCst) < 40 {
        assert!(start.elapsed() < Duration::from_secs(30), "the server takes nothing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    enough(process);
    let mut all = Sent::default();
    for task in tasks {
        let sent = task.await.unwrap();
        all.acknowledged.extend(sent.acknowledged);
        all.refused.extend(sent.refused);
    }
    all
}

/// The ids in the store, each of them once.
async fn stored(process: &Process, api_key: &str) -> BTreeSet<u64> {
    process.anonymous().until_ready().await;
    let answer = process.with_key(api_key).query("SELECT id FROM load").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rows = answer.json();
    let rows = rows.as_array().unwrap();
    let ids: BTreeSet<u64> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), rows.len(), "an event was stored twice");
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_that_was_acknowledged_and_keeps_nothing_that_was_refused() {
    let place = Place::new();
    let (mut process, sender, reader) = first_start(&place, &["--shutdown-timeout", "5s"]).await;
    let sent = send_until_gone(&process, &sender, |process| process.signal("TERM")).await;
    assert_eq!(process.wait(), Some(0), "{}", place.log());
    let process = Process::serve(&place.store, &[]);
    let stored = stored(&process, &reader).await;
    assert!(sent.acknowledged.is_subset(&stored), "{:?}", sent.acknowledged.difference(&stored));
    assert!(sent.refused.is_disjoint(&stored), "{:?}", sent.refused.intersection(&stored));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let (mut process, sender, reader) = first_start(&place, &[]).await;
    let sent = send_until_gone(&process, &sender, |process| process.signal("KILL")).await;
    assert_eq!(process.wait(), None);
    let process = Process::serve(&place.store, &[]);
    let stored = stored(&process, &reader).await;
    assert!(sent.acknowledged.is_subset(&stored), "{:?}", sent.acknowledged.difference(&stored));
    assert_eq!(process.with_key(&sender).ingest("load", "{\"id\":1}").await.status, 200, "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_waits_for_a_running_query_no_longer_than_it_may() {
    let place = Place::new();
    let (mut process, sender, reader) = first_start(&place, &["--shutdown-timeout", "1s"]).await;
    let admin = process.admin(process.admin_token().unwrap());
    assert_eq!(process.with_key(&sender).ingest("quakes", events::EARTHQUAKES).await.status, 200);
    let query = process.with_key(&reader).request("POST", "/api/v1/query").json(&json!({"query": COMPUTING})).send();
    let query = tokio::spawn(query);
    while admin.get("/api/v1/sessions").await.json()["items"] == json!([]) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    process.signal("TERM");
    let start = Instant::now();
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0), "{}", place.log());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    assert!(query.await.unwrap().map_or(true, |answer| answer.status() != 200));
}

/// The lock of the directory is kept, so that no document can be changed, and a request waits for the schema of its
/// stream to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_is_over_in_time_when_the_store_hangs() {
    let place = Place::new();
    let (mut process, sender, _) = first_start(&place, &["--shutdown-timeout", "2s", "--ingest-window", "1ms"]).await;
    assert_eq!(process.with_key(&sender).ingest("first", "{}").await.status, 200);
    let lock = std::fs::File::options().write(true).open(place.store.join(".settings/keyloft/lock")).unwrap();
    lock.lock().unwrap();
    let sender = process.with_key(&sender);
    let waiting = tokio::spawn(async move {
        let request = sender.request("POST", "/api/v1/ingest").header("x-p-stream", "first").body(r#"{"new":1}"#);
        request.send().await.map(|answer| answer.status().as_u16())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal("TERM");
    let start = Instant::now();
    let log = place.log();
    assert_eq!(tokio::task::spawn_blocking(move || process.wait()).await.unwrap(), Some(0), "{log}");
    assert!(start.elapsed() < Duration::from_millis(3500), "{:?}\n{}", start.elapsed(), place.log());
    assert_ne!(waiting.await.unwrap().ok(), Some(200), "acknowledged, and not durable");
    assert!(place.log().contains("the store did not answer in time") || place.log().contains("does not answer"));
}

#[tokio::test]
async fn a_restart_finds_every_key_event_and_change_again() {
    let place = Place::new();
    let (mut process, sender, reader) = first_start(&place, &[]).await;
    let token = process.admin_token().unwrap().to_owned();
    let admin = process.admin(&token);
    let revoked = admin.issue("default", "old", "query").await;
    assert_eq!(admin.delete(&format!("/api/v1/tenants/default/apikeys/{}", revoked.id)).await.status, 200);
    assert_eq!(admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.status, 201);
    assert_eq!(admin.patch("/api/v1/tenants/acme", json!({"suspended": ["query"]})).await.status, 200);
    assert_eq!(process.with_key(&sender).ingest("quakes", events::EARTHQUAKES).await.status, 200);
    assert_eq!(process.greeting().matches(&token).count(), 1, "{}", process.greeting());
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
    assert!(!place.log().contains(&token));
    // What a crash may leave behind.
    let keys = place.store.join(".settings/apikeys");
    std::fs::write(keys.join("5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10.json#123"), "{\"half").unwrap();
    std::fs::write(place.store.join("streams/quakes/schema.json#77"), "{").unwrap();
    let process = Process::serve(&place.store, &[]);
    process.anonymous().until_ready().await;
    assert_eq!((process.admin_token(), process.greeting().contains("kl_adm_")), (None, false));
    let admin = process.admin(&token);
    assert_eq!(admin.get("/api/v1/unreadable").await.json(), json!({"items": []}));
    assert_eq!(admin.get("/api/v1/tenants/acme").await.json()["suspended"], json!(["query"]));
    let count = process.with_key(&reader).query("SELECT count(*) AS n FROM quakes").await.json();
    assert_eq!(count, json!([{"n": events::earthquakes()}]));
    process.with_key(&revoked.api_key).query("SELECT 1").await.refused(401, "invalid_api_key");
    process.with_key(&reader).ingest("quakes", "{}").await.refused(403, "wrong_key_type");
}
