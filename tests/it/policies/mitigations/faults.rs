//! A store that is away, and a chain that somebody has broken.

use std::sync::Arc;
use std::time::Duration;

use keyloft::Bucket;
use object_store::memory::InMemory;
use serde_json::json;

use super::{ACTIVE, ask, asking, cross, entries, held, holding, told, until_held};
use crate::support::pair::{down, quick, two};
use crate::support::{Faults, Faulty, TestServer};

/// A server over a store whose faults are its own.
async fn over(store: &Arc<InMemory>) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        quick(setup);
        setup.bucket = Some(bucket);
    })
    .await;
    (server, faults)
}

#[tokio::test]
async fn while_the_store_is_away_a_node_holds_on_and_shares_once_it_is_back() {
    let store = Arc::new(InMemory::new());
    let ((a, faults), (b, _)) = (over(&store).await, over(&store).await);
    let edge = asking(&a, holding(3)).await;
    down(&faults, true);
    let blocked = cross(&edge, "203.0.113.7", 4).await;
    assert_eq!(told(&blocked), ("block", "mitigation"));
    let entity = blocked["entity"].as_str().unwrap();
    let refused = a.admin().delete(&format!("{ACTIVE}/{entity}")).await;
    refused.refused(503, "store_unavailable");
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), ("block", "mitigation"), "no release without proof");
    let metrics = a.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_mitigations_waiting 1\n"));
    assert!(held(&b.admin()).await.is_empty());
    down(&faults, false);
    until_held(&b.admin(), entity, true).await;
    assert!(a.anonymous().get("/metrics").await.text().contains("keyloft_mitigations_waiting 0\n"));
    // The other way round: the one that is away learns of it when it is back.
    down(&faults, true);
    assert_eq!(b.admin().delete(&format!("{ACTIVE}/{entity}")).await.status, 200);
    assert_eq!(told(&ask(&edge, "203.0.113.7", "/login").await), ("block", "mitigation"));
    down(&faults, false);
    until_held(&a.admin(), entity, false).await;
}

#[tokio::test]
async fn a_broken_entry_stops_nobody_and_is_reported() {
    let (a, b) = two(quick).await;
    let edge = asking(&a, holding(3)).await;
    let first = cross(&edge, "203.0.113.7", 3).await;
    until_held(&b.admin(), first["entity"].as_str().unwrap(), true).await;
    let folder = a.path(".settings/keyloft/mitigations");
    std::fs::write(folder.join("00000000000000000002.json"), "{").unwrap();
    std::fs::write(folder.join("notes.txt"), "by hand").unwrap();
    let second = cross(&edge, "203.0.113.8", 3).await;
    until_held(&b.admin(), second["entity"].as_str().unwrap(), true).await;
    let late = TestServer::spawn_with(|setup| {
        quick(setup);
        setup.directory = a.shared_directory();
    })
    .await;
    assert_eq!(held(&late.admin()).await.len(), 2);
    let unreadable = late.admin().get("/api/v1/unreadable").await.json();
    let items = unreadable["items"].as_array().unwrap();
    for (object, reason) in [("00000000000000000002.json", "no entry"), ("notes.txt", "its name")] {
        let item = items.iter().find(|item| item["object"].as_str().unwrap().ends_with(object));
        let item = item.unwrap_or_else(|| panic!("{object} in {unreadable}"));
        assert!(item["reason"].as_str().unwrap().contains(reason) && item["tenant"].is_null(), "{item}");
    }
}

#[tokio::test]
async fn old_entries_are_removed_and_numbers_go_on() {
    let clock = Arc::new(keyloft::ManualClock::new(keyloft::Clock::now(&keyloft::SystemClock)));
    let server = TestServer::spawn_with(|setup| {
        quick(setup);
        setup.config.sync.reconcile_interval = Duration::from_millis(50);
        setup.clock = clock.clone();
    })
    .await;
    let edge = asking(&server, holding(3)).await;
    for (number, address) in (1..).zip(["203.0.113.7", "203.0.113.8", "203.0.113.9"]) {
        cross(&edge, address, 3).await;
        server.until("it is shared", |server| entries(server).len() == number).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(entries(&server).len(), 3, "all are in use");
    clock.advance(chrono::TimeDelta::seconds(3700));
    server.until("the old ones are gone", |server| entries(server).len() == 1).await;
    assert!(entries(&server)[0].ends_with("00000000000000000003.json"));
    assert!(held(&server.admin()).await.is_empty());
    let other = TestServer::spawn_with(|setup| {
        quick(setup);
        setup.clock = clock.clone();
        setup.directory = server.shared_directory();
    })
    .await;
    let body = json!({"keyName": "late", "keyType": "ingestion", "sourceId": "shop"});
    let late = other.with_key(&server.admin().issue_with("default", body).await.api_key);
    let again = cross(&late, "203.0.113.7", 3).await;
    until_held(&server.admin(), again["entity"].as_str().unwrap(), true).await;
    assert!(entries(&server).last().unwrap().ends_with("00000000000000000004.json"), "behind the last");
}

#[tokio::test]
async fn what_is_written_by_hand_holds_nobody_for_longer_than_30_days() {
    let (a, b) = two(quick).await;
    let edge = asking(&a, holding(3)).await;
    let blocked = cross(&edge, "203.0.113.7", 3).await;
    until_held(&b.admin(), blocked["entity"].as_str().unwrap(), true).await;
    let first = std::fs::read_to_string(&entries(&a)[0]).unwrap();
    let mut entry: serde_json::Value = serde_json::from_str(&first).unwrap();
    let entity = "e_ivgjinsfhoap7bufgxv3ixy27y";
    entry["seq"] = json!(2);
    entry["rows"][0]["entity"] = json!(entity);
    entry["rows"][0]["until"] = json!("2999-01-01T00:00:00.000Z");
    let folder = a.path(".settings/keyloft/mitigations");
    std::fs::write(folder.join("00000000000000000002.json"), entry.to_string()).unwrap();
    until_held(&b.admin(), entity, true).await;
    let held = b.admin().get(&format!("{ACTIVE}/{entity}")).await.json();
    let time = |name: &str| held["items"][0][name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((time("until") - time("since")).num_days(), 30);
}
