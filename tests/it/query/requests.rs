//! How many requests a query makes to the store.

use std::sync::Arc;

use keyloft::store::Bucket;
use serde_json::json;

use crate::support::{Call, Faults, Faulty, Kind, Scene};

fn is_read_of_events(call: &Call) -> bool {
    call.kind == Kind::Read && call.is_about("streams/web/") && call.is_about(".parquet")
}

#[tokio::test]
async fn a_small_object_is_read_with_one_request_and_a_large_one_in_parts() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    let scene = Scene::with(|setup| {
        setup.bucket = Some(bucket);
        setup.config.compaction.interval = None;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(scene.sending().ingest("web", r#"{"a":1,"b":"two","c":3.5}"#).await.status, 200);
    }
    let sum = scene.reading().query("SELECT sum(a) AS a, max(b) AS b FROM web WHERE c > 1").await;
    assert_eq!(sum.json(), json!([{"a": 3, "b": "two"}]));
    assert_eq!(faults.count(is_read_of_events), 3);

    let noise = |row: u64| (0..40).map(|at| format!("{:016x}", scattered(row * 40 + at))).collect::<String>();
    let lines: Vec<_> = (0..6000).map(|row| json!({"a": 1, "noise": noise(row)}).to_string()).collect();
    assert_eq!(scene.sending().ingest("web", lines.join("\n")).await.status, 200);
    let before = faults.count(is_read_of_events);
    assert_eq!(scene.reading().query("SELECT sum(a) AS a FROM web").await.json(), json!([{"a": 6003}]));
    assert!(faults.count(is_read_of_events) - before > 3 + 1, "of the large one the footer, and the column");
}

/// Numbers that do not compress.
fn scattered(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}
