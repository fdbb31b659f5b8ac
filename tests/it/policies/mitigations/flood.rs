//! Ten thousand clients that cross at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyloft::Bucket;
use object_store::memory::InMemory;
use serde_json::json;

use super::{DECIDE, asking, event, held, holding};
use crate::support::pair::{key as key_path, until_status};
use crate::support::{Call, Faults, Faulty, Kind, TestServer};

fn is_written(call: &Call) -> bool {
    call.kind == Kind::Create && call.is_about("keyloft/mitigations")
}

#[tokio::test]
async fn ten_thousand_crossings_are_few_entries_and_delay_no_revocation() {
    let store = Arc::new(InMemory::new());
    let (mut nodes, mut faults) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let of_node = Arc::new(Faults::default());
        let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), of_node.clone())));
        nodes.push(TestServer::spawn_with(|setup| setup.bucket = Some(bucket)).await); // The default poll.
        faults.push(of_node);
    }
    let (a, b) = (&nodes[0], &nodes[1]);
    let edge = asking(a, holding(1)).await;
    let issued = a.admin().issue("default", "victim", "query").await;
    until_status(b, &issued.api_key, 200).await;
    let began = Instant::now();
    for part in 0..10 {
        let address = |n: usize| format!("198.{}.{}.{}", 18 + part / 5, part % 5 * 4 + n / 250, n % 250);
        let events: Vec<_> = (0..1000).map(|n| event(&address(n), "/login")).collect();
        let answer = edge.post(DECIDE, json!({ "events": events })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(a.anonymous().get("/metrics").await.text().contains("keyloft_mitigations_active 10000\n"));
    println!("10,000 crossings in {:?}", began.elapsed());
    let revoked = Instant::now();
    assert_eq!(a.admin().delete(&key_path(&issued.id)).await.status, 200);
    until_status(b, &issued.api_key, 401).await;
    println!("a revocation meanwhile was everywhere in {:?}", revoked.elapsed());
    assert!(revoked.elapsed() < Duration::from_millis(3500), "{:?}", revoked.elapsed());
    let is_told = |node: &TestServer| {
        let admin = node.admin();
        async move { admin.get("/metrics").await.text().contains("keyloft_mitigations_active 10000\n") }
    };
    while !is_told(b).await {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("all of them were everywhere in {:?}", began.elapsed());
    let times = faults[0].times(is_written);
    assert!((10..=14).contains(&times.len()), "{} entries", times.len());
    assert!(times.windows(2).all(|two| two[1] - two[0] >= Duration::from_millis(990)));
    assert!(faults[1].times(is_written).is_empty(), "who has heard of it does not tell it");
    assert_eq!(held(&b.admin()).await.len(), 100, "a page");
    let log = |call: &Call| call.is_write() && call.is_about("keyloft/log");
    assert!(faults[0].count(log) < 20, "nothing of it is in the change log");
}
