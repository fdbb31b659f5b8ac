//! How long it takes until all nodes hold an entity, on real processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ACTIVE, DECIDE, SET, event, holding};
use crate::support::{Answer, Fleet, TestStore};

/// How many cross.
const CROSSINGS: usize = 60;

async fn key(fleet: &Arc<Fleet>) -> String {
    let admin = fleet.client(0);
    assert_eq!(admin.put(&format!("{SET}?wait=10s"), holding(1)).await.status, 200);
    let body = json!({"keyName": "edge", "keyType": "ingestion", "sourceId": "shop"});
    admin.issue_with("default", body).await.api_key
}

async fn decide(fleet: &Arc<Fleet>, place: usize, api_key: &str, address: &str) -> Value {
    let client = crate::support::Client::with_key(&fleet.url(place), api_key);
    Answer::of(client.request("POST", DECIDE).json(&event(address, "/login"))).await.json()
}

/// Until another node lists an entity as held.
async fn until_listed(fleet: Arc<Fleet>, place: usize, entity: String) -> Duration {
    let (start, admin) = (Instant::now(), fleet.client(place));
    while admin.get(&format!("{ACTIVE}/{entity}")).await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(20), "{entity} is not held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

async fn pace(store: &TestStore) -> Vec<Duration> {
    let fleet = Fleet::start(3, &store.url(), store.variables(), &[]).await;
    let api_key = key(&fleet).await;
    let mut waits = tokio::task::JoinSet::new();
    for number in 0..CROSSINGS {
        let place = number % fleet.len();
        let answer = decide(&fleet, place, &api_key, &format!("198.51.100.{number}")).await;
        assert_eq!(answer["action"], "block", "{answer}");
        let entity = answer["entity"].as_str().unwrap().to_owned();
        for other in (0..fleet.len()).filter(|other| *other != place) {
            waits.spawn(until_listed(fleet.clone(), other, entity.clone()));
        }
        tokio::time::sleep(Duration::from_millis(170)).await;
    }
    let mut all = waits.join_all().await;
    all.sort();
    all
}

fn report(store: &str, waits: &[Duration]) -> String {
    let of = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
    assert!(of(99) < Duration::from_secs(6), "the goal is 2.5 s on a machine that does nothing else: {:?}", of(99));
    format!("{store}: {} waits, p50 {:?}, p99 {:?}, longest {:?}", waits.len(), of(50), of(99), of(100))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_crosses_on_one_of_three_nodes_is_held_on_all_within_seconds() {
    println!("{}", report("a directory", &pace(&TestStore::directory()).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn who_crosses_on_one_of_three_nodes_on_ceph_is_held_on_all_within_seconds() {
    println!("{}", report("Ceph", &pace(&TestStore::ceph()).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn nodes_that_tell_each_other_at_once_on_ceph_lose_nobody_even_when_one_is_killed() {
    let store = TestStore::ceph();
    let fleet = Fleet::start(3, &store.url(), store.variables(), &["--sync-poll-interval", "100ms"]).await;
    let api_key = key(&fleet).await;
    for round in 0..3 {
        // All at once, so that they race for the same number.
        let crossings = (0..30).map(|n| {
            let (fleet, api_key) = (fleet.clone(), api_key.clone());
            async move { decide(&fleet, n % 3, &api_key, &format!("198.51.{round}.{n}")).await }
        });
        let answers = futures::future::join_all(crossings).await;
        assert!(answers.iter().all(|answer| answer["action"] == "block"), "{answers:?}");
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    let count = async |place: usize| {
        let page = fleet.client(place).get(&format!("{ACTIVE}?limit=1000")).await.json();
        page["items"].as_array().unwrap().len()
    };
    for place in 0..3 {
        fleet.until("all nodes hold all", async || count(place).await == 90).await;
    }
    fleet.kill(1);
    fleet.start_node(1).await;
    fleet.client(1).until_ready().await;
    assert_eq!(count(1).await, 90, "who is ready knows who is held");
}
