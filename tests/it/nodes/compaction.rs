//! What compaction takes from others: time, and memory. That it loses nothing, `tests/it/streams/history` checks.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::connections;
use crate::support::{Fleet, Process, TestStore, gzip};

async fn issue(fleet: &Fleet, name: &str, key_type: &str) -> String {
    let body = json!({"keyName": name, "keyType": key_type});
    let (status, answer) = fleet.admin(0, "POST", "/api/v1/tenants/default/apikeys", Some(body)).await.unwrap();
    assert_eq!(status, 201, "{answer}");
    answer["apiKey"].as_str().unwrap().to_owned()
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

/// Two servers take turns, one of which never merges. `scripts/bench-ingest.sh` measures it in earnest, on a machine
/// that has nothing else to do; here the median may be half as much again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_never_delays_an_acknowledgement_by_much() {
    const TURNS: usize = 200;
    let http = connections().build().unwrap();
    let mut servers = Vec::new();
    for interval in ["0s", "100ms"] {
        let store = TestStore::directory();
        let options = ["--compaction-interval", interval, "--ingest-window", "1ms"];
        let fleet = Fleet::start(1, &store.url(), store.variables(), &options).await;
        let writer = issue(&fleet, "writer", "ingestion").await;
        servers.push((store, fleet, writer, Vec::new()));
    }
    let body: String = (0..200).map(|n| json!({"n": n, "text": format!("event {n}")}).to_string() + "\n").collect();
    for _ in 0..TURNS {
        for (_, fleet, writer, times) in &mut servers {
            let request = http.post(fleet.url(0) + "/api/v1/logstream/web").header("x-api-key", writer.as_str());
            let request = request.header("content-type", "application/x-ndjson").body(body.clone());
            let start = Instant::now();
            assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
            times.push(start.elapsed());
        }
    }
    let medians: Vec<Duration> = servers
        .iter_mut()
        .map(|(_, _, _, times)| {
            times.sort_unstable();
            times[TURNS / 2]
        })
        .collect();
    let merged = |place: usize| {
        let path = servers[place].0.url();
        objects(Path::new(path.trim_start_matches("file://"))).1
    };
    assert!(merged(0) == 0 && merged(1) > 0, "{} and {} merged objects", merged(0), merged(1));
    println!("an acknowledgement takes {:?} without compaction, and {:?} with it", medians[0], medians[1]);
    assert!(medians[1] < medians[0] * 3 / 2, "without compaction and with it: {medians:?}");
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
    let key = issue(&fleet, "writer", "ingestion").await;
    let http = connections().build().unwrap();
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
    let (peak, decoded) =
        (fleet.of_process(0, Process::peak_memory).saturating_sub(before), REQUESTS * ROWS * line.len());
    assert!(peak < 200 << 20, "merging took {peak} bytes, {decoded} are decoded");
}
