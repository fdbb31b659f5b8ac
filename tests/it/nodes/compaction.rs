//! Nodes that ingest, query and compact the same stream, while they are killed and stopped.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Fleet, Process, TestStore, gzip};

const NODES: usize = 3;
const OPTIONS: &[&str] = &["--compaction-interval", "300ms", "--ingest-window", "1ms"];

/// What clients were promised.
#[derive(Default)]
struct Events {
    next: AtomicU32,
    /// Sent, whatever the answer was.
    sent: Mutex<HashSet<u32>>,
    /// Acknowledged.
    stored: Mutex<BTreeSet<u32>>,
    queries: AtomicU32,
}

/// Clients and queries that go on until the test stops them.
struct Load {
    fleet: Arc<Fleet>,
    http: reqwest::Client,
    events: Arc<Events>,
    writer: String,
    reader: String,
    stop: Arc<AtomicBool>,
}

impl Load {
    async fn issue(fleet: &Fleet, name: &str, key_type: &str) -> String {
        let body = json!({"keyName": name, "keyType": key_type});
        let (status, answer) = fleet.admin(0, "POST", "/api/v1/tenants/default/apikeys", Some(body)).await.unwrap();
        assert_eq!(status, 201, "{answer}");
        answer["apiKey"].as_str().unwrap().to_owned()
    }

    fn post(&self, place: usize, path: &str, key: &str) -> reqwest::RequestBuilder {
        let request = self.http.post(self.fleet.url(place) + path).header("x-api-key", key);
        request.timeout(Duration::from_secs(30))
    }

    /// Sends events that are numbered, and never the same twice.
    async fn send(self: Arc<Self>, place: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let count = 1 + self.events.next.load(Ordering::Relaxed) % 5;
            let first = self.events.next.fetch_add(count, Ordering::Relaxed);
            let numbers = first..first + count;
            self.events.sent.lock().extend(numbers.clone());
            let body: String =
                numbers.clone().map(|n| json!({"n": n, "text": format!("event {n}")}).to_string() + "\n").collect();
            let request = self.post(place, "/api/v1/logstream/web", &self.writer);
            if let Ok(answer) = request.header("content-type", "application/x-ndjson").body(body).send().await
                && answer.status().as_u16() == 200
            {
                self.events.stored.lock().extend(numbers);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads all events, again and again.
    async fn read(self: Arc<Self>, place: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            let before = self.events.stored.lock().clone();
            if let Some(found) = self.numbers(place).await {
                self.check(&before, &found);
                self.events.queries.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The number of every event; `None` when the node does not answer.
    async fn numbers(&self, place: usize) -> Option<Vec<u32>> {
        let rows = self.ask(place, "SELECT n FROM web").await?;
        Some(rows.iter().map(|row| u32::try_from(row["n"].as_u64().unwrap()).unwrap()).collect())
    }

    async fn ask(&self, place: usize, sql: &str) -> Option<Vec<Value>> {
        let request = self.post(place, "/api/v1/query", &self.reader);
        let answer = request.json(&json!({"query": sql})).send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        assert!(matches!(status, 200 | 429 | 503), "{status}: {text}");
        (status == 200).then(|| serde_json::from_str(&text).ok())?
    }

    /// Every event that was acknowledged before is there, none is there twice, and none that nobody has sent.
    fn check(&self, before: &BTreeSet<u32>, found: &[u32]) {
        let unique: HashSet<u32> = found.iter().copied().collect();
        assert_eq!(unique.len(), found.len(), "an event is counted twice");
        let lost: Vec<_> = before.iter().filter(|n| !unique.contains(n)).take(5).collect();
        assert!(lost.is_empty(), "events that were acknowledged are lost: {lost:?} of {}", before.len());
        let sent = self.events.sent.lock();
        assert!(unique.iter().all(|n| sent.contains(n)), "events that nobody has sent");
    }
}

/// How many objects of events stand in a directory: those of ingest, and merged ones.
fn objects(store: &Path) -> (usize, usize) {
    let (mut fresh, mut merged) = (0, 0);
    for day in std::fs::read_dir(store.join("streams/web")).unwrap().flatten() {
        let count = |folder: &Path| {
            let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
            files.filter(|file| file.file_name().to_string_lossy().ends_with(".parquet")).count()
        };
        fresh += count(&day.path());
        merged += count(&day.path().join("merged"));
    }
    (fresh, merged)
}

async fn no_acknowledged_event_is_lost_or_counted_twice(store: &TestStore) -> Arc<Load> {
    let fleet = Fleet::start(NODES, &store.url(), store.variables(), OPTIONS).await;
    let writer = Load::issue(&fleet, "writer", "ingestion").await;
    let reader = Load::issue(&fleet, "reader", "query").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (events, stop) = (Arc::default(), Arc::default());
    let load = Arc::new(Load { fleet: fleet.clone(), http, events, writer, reader, stop });
    let first = load.post(0, "/api/v1/logstream/web", &load.writer).json(&json!({"n": 0, "text": "event 0"}));
    assert_eq!(first.send().await.unwrap().status().as_u16(), 200);
    load.events.next.store(1, Ordering::Relaxed);
    load.events.sent.lock().insert(0);
    load.events.stored.lock().insert(0);
    for place in 0..NODES {
        let path = "/api/v1/tenants/default/logstream/web";
        let knows_fields = async || match fleet.admin(place, "GET", path, None).await {
            Some((200, answer)) => answer["fields"].as_array().is_some_and(|fields| fields.len() == 2),
            _ => false,
        };
        fleet.until("the node knows the fields", knows_fields).await;
    }
    let mut tasks = JoinSet::new();
    for place in 0..NODES {
        tasks.spawn(load.clone().send(place));
        tasks.spawn(load.clone().send(place));
        tasks.spawn(load.clone().read(place));
    }
    let end = Instant::now() + Duration::from_secs(20);
    for round in 0.. {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        if Instant::now() > end {
            break;
        }
        let place = round % NODES;
        if round % 2 == 0 {
            fleet.kill(place);
            tokio::time::sleep(Duration::from_millis(300)).await;
            fleet.start_node(place).await;
        } else {
            fleet.signal(place, "STOP");
            tokio::time::sleep(Duration::from_millis(1200)).await;
            fleet.signal(place, "CONT");
        }
    }
    load.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    fleet.until_ready().await;
    let stored = load.events.stored.lock().clone();
    for place in 0..NODES {
        let found = load.numbers(place).await.expect("all is well");
        load.check(&stored, &found);
        for sql in ["SELECT count(*) AS c FROM web", "SELECT count(n) AS c FROM web WHERE n >= 0"] {
            let counted = load.ask(place, sql).await.expect("all is well");
            assert_eq!(counted, [json!({"c": found.len()})], "{sql}");
        }
    }
    let queries = load.events.queries.load(Ordering::Relaxed);
    assert!(stored.len() > 300 && queries > 3, "{} events, {queries} queries", stored.len());
    load
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_event_is_lost_or_counted_twice_in_a_directory() {
    let store = TestStore::directory();
    let load = no_acknowledged_event_is_lost_or_counted_twice(&store).await;
    let path = store.url();
    let (fresh, merged) = objects(Path::new(path.trim_start_matches("file://")));
    assert!(merged > 3, "nothing was merged: {fresh} objects of ingest, {merged} merged");
    drop(load);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_event_is_lost_or_counted_twice_in_ceph() {
    no_acknowledged_event_is_lost_or_counted_twice(&TestStore::ceph()).await;
}

/// A text of 8 KiB that all events share takes 8 KiB in an object, and 8 MiB in its rows.
#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn objects_that_decode_to_much_are_merged_in_little_memory() {
    const REQUESTS: usize = 60;
    const ROWS: usize = 1100;
    let store = TestStore::directory();
    let options = &["--compaction-interval", "10s", "--ingest-window", "1ms"];
    let fleet = Fleet::start(1, &store.url(), store.variables(), options).await;
    let key = Load::issue(&fleet, "writer", "ingestion").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let line = json!({"text": "a long text ".repeat(680)}).to_string() + "\n";
    let body = gzip(line.repeat(ROWS).as_bytes());
    for _ in 0..REQUESTS {
        let request = http.post(fleet.url(0) + "/api/v1/logstream/web").header("x-api-key", &key);
        let request = request.header("content-type", "application/x-ndjson").header("content-encoding", "gzip");
        let answer = request.body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap());
    }
    let path = store.url();
    let path = Path::new(path.trim_start_matches("file://"));
    assert_eq!(objects(path).0, REQUESTS, "they were merged too early for this test");
    fleet.of_process(0, Process::forget_peak_memory);
    let before = fleet.of_process(0, Process::peak_memory);
    fleet.until("all objects are merged", async || objects(path).1 > 0).await;
    let (peak, decoded) = (fleet.of_process(0, Process::peak_memory) - before, REQUESTS * ROWS * line.len());
    assert!(peak < 200 << 20, "merging took {peak} bytes, {decoded} are decoded");
}
