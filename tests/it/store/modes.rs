//! What a store can be relied on for, found out by asking it, and what a node does about it.

use std::sync::Arc;
use std::time::Instant;

use keyloft::key::{KeyName, KeyType, NewKey, TenantId};
use keyloft::store::{CheckOutcome, Property, StoreMode};
use keyloft::testing::layout;
use keyloft::{Bucket, ErrorKind, Keystore, SystemClock};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use serde_json::json;

use crate::support::{Fault, Faults, Faulty, Kind, TestServer, TestStore, context};

/// The mode of a store by its probe, which must leave nothing behind.
async fn mode(bucket: &Bucket) -> StoreMode {
    let report = bucket.probe().await.unwrap();
    assert_eq!(report.findings.len(), 7);
    assert!(report.findings.iter().all(|finding| finding.outcome == CheckOutcome::Ok), "{report:#?}");
    assert!(bucket.list(&layout::probes()).await.unwrap().is_empty());
    bucket.mode().unwrap()
}

#[tokio::test]
async fn memory_is_cas() {
    assert_eq!(mode(&Bucket::in_memory()).await, StoreMode::Cas);
    assert_eq!(mode(&Bucket::unproven(Arc::new(InMemory::new()))).await, StoreMode::Cas);
}

#[tokio::test]
async fn a_directory_is_local() {
    assert_eq!(mode(&TestStore::directory().open()).await, StoreMode::Local);
}

/// moto lets two racing creates win now and then, so of those nothing is claimed.
#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs moto: run scripts/test.sh")]
async fn moto_has_what_cas_needs_when_nothing_races() {
    let report = TestStore::moto().unproven().probe().await.unwrap();
    let races = [Property::RacingCreates, Property::RacingReplaces];
    let calm: Vec<_> = report.findings.iter().filter(|finding| !races.contains(&finding.property)).collect();
    assert_eq!(calm.len(), 5);
    assert!(calm.iter().all(|finding| finding.outcome == CheckOutcome::Ok), "{report:#?}");
    assert_eq!(calm[1].detail, "the ETag that was read is accepted");
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn ceph_wants_its_tags_without_quotes() {
    assert_eq!(mode(&TestStore::ceph().open()).await, StoreMode::CasUnquoted);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_not_safe() {
    let bucket = Bucket::unproven(Arc::new(Faulty::liar(Arc::new(InMemory::new()))));
    let report = bucket.probe().await.unwrap();
    let failed = report.findings.iter().filter(|finding| finding.outcome == CheckOutcome::Failed);
    let failed: Vec<_> = failed.map(|finding| finding.property).collect();
    let expected = [Property::CreateOnce, Property::RacingCreates, Property::StaleReplace, Property::RacingReplaces];
    assert_eq!(failed, expected);
    assert_eq!(bucket.mode(), Some(StoreMode::Unsafe { missing: Property::CreateOnce }));
    assert!(bucket.list(&layout::probes()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_fails_during_the_probe_is_neither_safe_nor_unsafe_and_is_asked_again() {
    let faults = Arc::new(Faults::default());
    let store = Faulty::memory(faults.clone());
    let bucket = Bucket::unproven(Arc::new(store));
    let name = layout::ObjectName::Admin;
    for number in [1, 2, 3, 6, 40, 70] {
        faults.set(move |call| (call.number >= number && call.kind != Kind::Delete).then_some(Fault::ErrorBefore));
        assert_eq!(bucket.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(bucket.create(&name, "{}".into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(bucket.mode(), None);
        faults.none();
        assert!(bucket.list(&layout::probes()).await.unwrap().is_empty());
    }
    assert!(bucket.create(&name, "{}".into()).await.is_ok(), "the first write probes");
    assert_eq!(bucket.mode(), Some(StoreMode::Cas));
}

#[tokio::test]
async fn a_refusal_is_believed_only_when_something_is_there() {
    let faults = Arc::new(Faults::default());
    let bucket = Bucket::new(Arc::new(Faulty::memory(faults.clone())));
    faults.inject(Fault::Conflict, |call| call.kind == Kind::Create && call.number == 1);
    let written = bucket.create(&layout::ObjectName::Admin, "{}".into()).await.unwrap();
    assert_eq!(written, keyloft::testing::Written::Done);
    faults.inject(Fault::Conflict, |call| call.kind == Kind::Create);
    let other = layout::ObjectName::LogEntry { seq: 1 };
    assert_eq!(bucket.create(&other, "{}".into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// A store that ignores conditions, with a key that was put there by other means.
async fn liar_with_a_key() -> (Arc<dyn ObjectStore>, String) {
    let memory = Arc::new(InMemory::new());
    let keystore = Keystore::new(Bucket::new(memory.clone()), Arc::default(), Arc::new(SystemClock));
    keystore.sync().await.unwrap();
    let key = NewKey::new(KeyName::parse("old").unwrap(), KeyType::Query);
    let issued = keystore.issue(&context(), &TenantId::default(), key).await.unwrap();
    (Arc::new(Faulty::liar(memory)), issued.secret.expose().to_owned())
}

#[tokio::test]
async fn on_a_store_that_is_not_safe_keys_go_on_and_changes_are_503() {
    let (store, api_key) = liar_with_a_key().await;
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(Bucket::unproven(store))).await;
    let (admin, reader) = (server.admin(), server.with_key(&api_key));
    assert_eq!(reader.get("/api/v1/whoami").await.status, 200);
    let keys = "/api/v1/tenants/default/apikeys";
    let issue = admin.post(keys, json!({"keyName": "new", "keyType": "query"})).await;
    issue.refused(503, "store_not_safe");
    assert!(issue.text().contains("create_once"), "the message names what is missing: {}", issue.text());
    let key_id = reader.get("/api/v1/whoami").await.json()["keyId"].as_str().unwrap().to_owned();
    admin.patch(&format!("{keys}/{key_id}"), json!({"sourceId": "x"})).await.refused(503, "store_not_safe");
    admin.post("/api/v1/tenants", json!({"tenantId": "acme"})).await.refused(503, "store_not_safe");
    assert_eq!(reader.get("/api/v1/whoami").await.status, 200);
    assert_eq!(admin.get(keys).await.json()["items"].as_array().unwrap().len(), 1);
    let metrics = server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_store_mode{mode=\"unsafe\"} 1"), "{}", metrics.text());
}

#[tokio::test]
async fn a_single_writer_changes_keys_on_a_store_that_is_not_safe() {
    let (store, api_key) = liar_with_a_key().await;
    let bucket = Bucket::unproven(store).with_single_writer(true);
    let server = TestServer::spawn_with(|setup| setup.bucket = Some(bucket.clone())).await;
    let admin = server.admin();
    let issued = admin.issue("default", "new", "query").await;
    let twice = admin.post("/api/v1/tenants/default/apikeys", json!({"keyName": "new", "keyType": "query"})).await;
    twice.refused(409, "duplicate_key_name");
    assert_eq!(admin.delete(&format!("/api/v1/tenants/default/apikeys/{}", issued.id)).await.status, 200);
    assert_eq!(server.with_key(&issued.api_key).get("/api/v1/whoami").await.status, 401);
    assert_eq!(server.with_key(&api_key).get("/api/v1/whoami").await.status, 200);
    let metrics = server.anonymous().get("/metrics").await;
    assert!(metrics.text().contains("keyloft_store_mode{mode=\"single-writer\"} 1"), "{}", metrics.text());
    // Within one process, of many at once one wins there too.
    let name = layout::ObjectName::LogEntry { seq: 1_000_000 };
    let race = (0..16).map(|number: u8| bucket.create(&name, vec![number].into()));
    let outcomes = futures::future::join_all(race).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(keyloft::testing::Written::Done)));
    assert_eq!(won.count(), 1);
}

#[tokio::test]
async fn a_single_writer_on_a_safe_store_is_one_of_many() {
    let bucket = Bucket::unproven(Arc::new(InMemory::new())).with_single_writer(true);
    assert_eq!(mode(&bucket).await, StoreMode::Cas);
}

#[tokio::test]
async fn a_store_that_hangs_is_reported_in_about_four_seconds() {
    // It accepts connections (the kernel does) and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let store = TestStore::at(&format!("http://{}", listener.local_addr().unwrap()), "key", "secret");
    let bucket = store.open();
    let name = layout::ObjectName::Admin;
    let seconds = 3.0..6.0;
    let start = Instant::now();
    assert_eq!(bucket.read(&name).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(seconds.contains(&start.elapsed().as_secs_f64()), "a read: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(bucket.list(&layout::log()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(seconds.contains(&start.elapsed().as_secs_f64()), "a list: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(bucket.create(&name, "{}".into()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(seconds.contains(&start.elapsed().as_secs_f64()), "a create: {:?}", start.elapsed());
}
