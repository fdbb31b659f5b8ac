//! What nodes do while the store cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use keyloft::key::{KeyType, PlainSecret};
use keyloft::{Bucket, Clock, ManualClock, SystemClock};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde_json::{Value, json};

use crate::support::pair::{down, faulty, key, quick, slow, whoami};
use crate::support::{Call, Fault, Faults, Faulty, TestServer};

fn is_entry(call: &Call) -> bool {
    call.is_write() && call.is_about("keyloft/log")
}

/// What an entry of the change log names.
async fn changes(store: &InMemory, seq: u64) -> Vec<Value> {
    let path = Path::from(format!(".settings/keyloft/log/{seq:020}.json"));
    let body = store.get(&path).await.unwrap().bytes().await.unwrap();
    let entry: Value = serde_json::from_slice(&body).unwrap();
    entry["changes"].as_array().unwrap().clone()
}

/// A server over a store whose faults are its own.
async fn over(store: &Arc<InMemory>, clock: Arc<dyn Clock>) -> (TestServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
    let server = TestServer::spawn_with(|setup| {
        slow(setup);
        setup.clock = clock;
        setup.bucket = Some(bucket);
    })
    .await;
    (server, faults)
}

#[tokio::test]
async fn an_unknown_key_is_no_401_while_the_store_cannot_be_asked() {
    let (server, faults) = faulty(slow).await;
    let issued = server.admin().issue("default", "k", "query").await;
    let unknown = PlainSecret::generate(KeyType::Query).unwrap();
    assert_eq!(whoami(&server, unknown.expose()).await, 401);
    down(&faults, true);
    // For this long after a poll, a node that is alone knows that no other node has issued a key.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let other = PlainSecret::generate(KeyType::Query).unwrap();
    let answer = server.with_key(other.expose()).get("/api/v1/whoami").await;
    answer.refused(503, "store_unavailable");
    assert!(answer.header("retry-after").is_some());
    // Also one that was looked for before: it may have been issued since.
    assert_eq!(whoami(&server, unknown.expose()).await, 503);
    assert_eq!(whoami(&server, &issued.api_key).await, 200);
    assert_eq!(server.anonymous().get("/api/v1/readiness").await.status, 200);
    down(&faults, false);
    assert_eq!(whoami(&server, other.expose()).await, 401);
}

#[tokio::test]
async fn a_revocation_during_an_outage_holds_here_at_once_and_becomes_durable_later() {
    let (server, faults) = faulty(quick).await;
    let issued = server.admin().issue("default", "k", "query").await;
    down(&faults, true);
    let answer = server.admin().delete(&key(&issued.id)).await;
    answer.refused(503, "store_unavailable");
    assert_eq!(answer.json()["appliedLocally"], true);
    assert_eq!(whoami(&server, &issued.api_key).await, 401);
    down(&faults, false);
    server.until("the revocation is durable", |server| !server.app.keystore.has_pending_revocations()).await;
    assert_eq!(server.admin().get(&key(&issued.id)).await.json()["state"], "revoked");
    assert_eq!(server.admin().get(&key(&issued.id)).await.json()["rev"], 2);
    assert_eq!(whoami(&server, &issued.api_key).await, 401);
}

#[tokio::test]
async fn a_node_that_is_out_of_contact_for_too_long_refuses_with_503() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let (server, faults) = faulty(|setup| {
        slow(setup);
        setup.config.sync.max_stale = Some(Duration::from_secs(60));
        setup.clock = clock.clone();
    })
    .await;
    let issued = server.admin().issue("default", "k", "query").await;
    down(&faults, true);
    clock.advance(chrono::TimeDelta::seconds(60));
    assert_eq!(whoami(&server, &issued.api_key).await, 200);
    clock.advance(chrono::TimeDelta::seconds(1));
    server.with_key(&issued.api_key).get("/api/v1/whoami").await.refused(503, "store_unavailable");
    let readiness = server.anonymous().get("/api/v1/readiness").await;
    assert_eq!((readiness.status.as_u16(), &readiness.json()["stale"]), (200, &json!(true)));
    down(&faults, false);
    server.app.keystore.poll().await.unwrap();
    assert_eq!(whoami(&server, &issued.api_key).await, 200);
}

#[tokio::test]
async fn what_could_not_be_logged_is_logged_once_when_the_store_answers() {
    let store = Arc::new(InMemory::new());
    let (server, faults) = over(&store, Arc::new(SystemClock)).await;
    let admin = server.admin();
    let (updated, revoked) = (admin.issue("default", "u", "query").await, admin.issue("default", "r", "query").await);
    faults.inject(Fault::ErrorBefore, is_entry);
    admin.patch(&key(&updated.id), json!({"sourceId": "s"})).await.refused(503, "store_unavailable");
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.refused(503, "store_unavailable");
    let answer = admin.delete(&key(&revoked.id)).await;
    answer.refused(503, "store_unavailable");
    assert_eq!(answer.json()["appliedLocally"], true);
    assert!(!server.app.keystore.has_pending_revocations(), "its document is written");
    faults.none();
    let before = faults.times(is_entry).len();
    for _ in 0..3 {
        server.app.keystore.poll().await.unwrap();
    }
    assert_eq!(faults.times(is_entry).len(), before + 1);
    let named: Vec<String> = changes(&store, 3).await.iter().map(Value::to_string).collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for part in [&updated.id, &revoked.id, "acme"] {
        assert!(named.iter().any(|change| change.contains(part)), "{part}: {named:?}");
    }
}

#[tokio::test]
async fn a_node_that_ends_logs_what_it_could_not_log_before() {
    let store = Arc::new(InMemory::new());
    let (server, faults) = over(&store, Arc::new(SystemClock)).await;
    let issued = server.admin().issue("default", "k", "query").await;
    faults.inject(Fault::ErrorBefore, is_entry);
    server.admin().delete(&key(&issued.id)).await.refused(503, "store_unavailable");
    faults.none();
    server.app.keystore.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(changes(&store, 2).await.len(), 1);
}

#[tokio::test]
async fn after_a_long_silence_what_was_not_logged_gets_no_number_that_was_given_and_trimmed() {
    let store = Arc::new(InMemory::new());
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let (a, faults) = over(&store, clock.clone()).await;
    let (b, _) = over(&store, Arc::new(SystemClock)).await;
    let issued = a.admin().issue("default", "k", "query").await;
    b.app.keystore.poll().await.unwrap();
    faults.inject(Fault::ErrorBefore, is_entry);
    a.admin().patch(&key(&issued.id), json!({"sourceId": "s"})).await.refused(503, "store_unavailable");
    for number in 0..4 {
        b.admin().issue("default", &format!("other-{number}"), "query").await;
    }
    b.app.keystore.poll().await.unwrap(); // It publishes what it has applied.
    for seq in 2..=4 {
        store.delete(&Path::from(format!(".settings/keyloft/log/{seq:020}.json"))).await.unwrap();
    }
    clock.advance(chrono::TimeDelta::minutes(31));
    faults.none();
    a.app.keystore.poll().await.unwrap();
    a.app.keystore.poll().await.unwrap();
    assert_eq!(changes(&store, 6).await.len(), 1);
    b.app.keystore.poll().await.unwrap();
    assert_eq!(b.admin().get(&key(&issued.id)).await.json()["sourceId"], "s");
}
