//! Nothing is counted twice and nothing that was written is lost, however flushes, compactions and crashes interleave.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::StreamExt;
use keyloft::access::{Action, Attempt, authenticate};
use keyloft::config::UsageSettings;
use keyloft::key::{ApiKey, KeyName, KeyType, NewKey, PlainSecret, TenantId};
use keyloft::testing::{Meter, StoreClock, StreamCatalog, SystemWriter, Use};
use keyloft::{Bucket, Clock, Keystore, ManualClock, SystemClock};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use crate::support::{Fault, Faults, Faulty, Kind, TestStore, context};

/// A node that counts, on a line to the store that can be cut.
pub struct Node {
    pub meter: Meter,
    clock: Arc<ManualClock>,
    keystore: Keystore,
    pub faults: Arc<Faults>,
    secret: String,
}

impl Node {
    pub async fn on(store: &Arc<dyn ObjectStore>, secret: &str) -> Self {
        let faults = Arc::new(Faults::default());
        let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
        // Ahead of the store, so that whatever is written now was written before.
        let clock = Arc::new(ManualClock::new(SystemClock.now() + TimeDelta::minutes(30)));
        let keystore = Keystore::new(bucket.clone(), Arc::default(), clock.clone());
        keystore.sync().await.unwrap();
        // A node without a heartbeat is merged at once, and no node here has one.
        let settings =
            UsageSettings { max_age: Duration::ZERO, silence: Duration::ZERO, stream: false, ..Default::default() };
        let meter = Meter::new(bucket.clone(), keystore.clone(), system_streams(&bucket), settings);
        Self { meter, clock, keystore, faults, secret: secret.to_owned() }
    }

    fn key(&self) -> Arc<ApiKey> {
        let attempt = Attempt::new(Action::Inspect, self.keystore.now());
        authenticate(self.keystore.cache(), &self.secret, &attempt).unwrap().key().clone()
    }

    pub fn count(&self) {
        let at = SystemClock.now();
        let used = Use { at, address: None, admitted: true, older: None, refused: None, events: 2, bytes: 3 };
        self.meter.count(&self.key(), &used);
    }

    pub async fn total(&self) -> u64 {
        let key = self.key();
        let tally = self.meter.totals(&key.tenant, &[key.key_id]).await.unwrap().of(key.key_id);
        assert_eq!((tally.events, tally.bytes), (2 * tally.requests, 3 * tally.requests));
        tally.requests
    }
}

/// A store with one key, and its secret.
pub async fn store() -> (Arc<dyn ObjectStore>, String) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let keystore = Keystore::new(Bucket::new(store.clone()), Arc::default(), Arc::new(SystemClock));
    keystore.sync().await.unwrap();
    let new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
    let issued = keystore.issue(&context(), &TenantId::default(), new).await.unwrap();
    keystore.close(Duration::from_secs(10)).await.unwrap(); // Nor does the node that issued the key.
    (store, issued.secret.expose().to_owned())
}

/// Three nodes with counts, two of which have ended; a fourth that looks.
async fn scene() -> (Arc<dyn ObjectStore>, String, Node) {
    let (store, secret) = store().await;
    for round in 0..2 {
        let ended = Node::on(&store, &secret).await;
        ended.meter.begin().await.unwrap();
        for _ in 0..=round {
            ended.count();
            ended.meter.flush().await.unwrap();
        }
    }
    let looker = Node::on(&store, &secret).await;
    looker.count();
    assert_eq!(looker.total().await, 4);
    (store, secret, looker)
}

#[tokio::test]
async fn a_compaction_that_is_cut_off_anywhere_counts_everything_once() {
    let operations = {
        let (store, secret, _) = scene().await;
        let compactor = Node::on(&store, &secret).await;
        compactor.faults.none();
        assert_eq!(compactor.meter.compact().await.unwrap(), 2);
        compactor.faults.calls()
    };
    assert!(operations > 8, "{operations}");
    for number in 1..=operations + 1 {
        for after in [false, true] {
            let (store, secret, looker) = scene().await;
            let compactor = Node::on(&store, &secret).await;
            if after {
                compactor.faults.crash_after(number)
            } else {
                compactor.faults.crash_at(number)
            }
            let _ = compactor.meter.compact().await;
            assert_eq!(looker.total().await, 4, "cut off at {number}, {after}");
            looker.meter.compact().await.unwrap();
            looker.meter.compact().await.unwrap();
            assert_eq!(looker.total().await, 4, "cut off at {number}, {after}, then folded");
            assert_eq!(Node::on(&store, &secret).await.total().await, 3, "what is in the store, {number}, {after}");
        }
    }
}

#[tokio::test]
async fn of_two_that_compact_at_once_one_does() {
    for _ in 0..20 {
        let (store, secret, looker) = scene().await;
        let (a, b) = (Node::on(&store, &secret).await, Node::on(&store, &secret).await);
        let (one, two) = tokio::join!(a.meter.compact(), b.meter.compact());
        let archived: usize = [one, two].into_iter().flatten().sum();
        assert!(archived <= 2, "{archived}");
        assert_eq!(looker.total().await, 4);
        looker.meter.compact().await.unwrap();
        assert_eq!(looker.total().await, 4);
    }
}

#[tokio::test]
async fn a_node_that_was_taken_for_dead_goes_on_with_a_new_segment() {
    let (store, secret) = store().await;
    let (node, other) = (Node::on(&store, &secret).await, Node::on(&store, &secret).await);
    node.meter.begin().await.unwrap();
    for round in 1..=5 {
        node.count();
        node.meter.flush().await.unwrap();
        assert_eq!(other.meter.compact().await.unwrap(), 1);
        node.count();
        assert_eq!(node.total().await, 2 * round);
        node.meter.flush().await.unwrap();
        assert_eq!((node.total().await, other.total().await), (2 * round, 2 * round));
    }
}

async fn archive(store: &Arc<dyn ObjectStore>) -> Value {
    let path = Path::from(".settings/keyloft/usage/archive.json");
    let body = store.get(&path).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

async fn names(store: &Arc<dyn ObjectStore>, folder: &str) -> usize {
    let folder = Path::from(format!(".settings/keyloft/usage/{folder}"));
    store.list(Some(&folder)).count().await
}

#[tokio::test]
async fn what_a_crash_leaves_lying_is_cleared_away_and_then_forgotten() {
    let (store, secret) = store().await;
    let end_with_one = async || {
        let ended = Node::on(&store, &secret).await;
        ended.meter.begin().await.unwrap();
        ended.count();
        ended.meter.close().await;
    };
    end_with_one().await;
    let compactor = Node::on(&store, &secret).await;
    compactor.faults.inject(Fault::ErrorBefore, |call| call.kind == Kind::Delete);
    assert!(compactor.meter.compact().await.is_err());
    // The archive was replaced, and what is in it was not removed.
    assert_eq!((names(&store, "sheets").await, archive(&store).await["folded"].as_array().unwrap().len()), (1, 1));
    assert!(compactor.meter.compact().await.is_err());
    compactor.faults.none();
    assert_eq!(
        (compactor.meter.compact().await.unwrap(), names(&store, "sheets").await, compactor.total().await),
        (0, 0, 1)
    );
    compactor.faults.inject(Fault::ErrorBefore, |call| call.kind == Kind::Replace && call.is_about("archive.json"));
    end_with_one().await;
    assert!(compactor.meter.compact().await.is_err());
    assert_eq!(names(&store, "archive").await, 2, "a piece of an archive that came to nothing");
    compactor.faults.none();
    compactor.clock.advance(TimeDelta::hours(2));
    assert_eq!((compactor.meter.compact().await.unwrap(), compactor.total().await), (1, 2));
    assert_eq!(archive(&store).await["folded"].as_array().unwrap().len(), 1, "the first is surely gone");
    assert_eq!((names(&store, "sheets").await, names(&store, "archive").await), (0, 1));
}

#[tokio::test]
async fn many_keys_share_few_segments_and_only_what_changed_is_written() {
    let (store, secret) = store().await;
    let node = Node::on(&store, &secret).await;
    let at = SystemClock.now();
    let used = Use { at, address: None, admitted: true, older: None, refused: None, events: 1, bytes: 0 };
    let new = |number: usize| NewKey::new(KeyName::parse(&format!("k{number}")).unwrap(), KeyType::Ingestion);
    let secret = PlainSecret::generate(KeyType::Ingestion).unwrap();
    let key = |number| new(number).into_key(TenantId::default(), secret.digest(), secret.hint());
    let keys: Vec<_> = (0..10_000).map(key).collect();
    keys.iter().for_each(|key| node.meter.count(key, &used));
    node.meter.flush().await.unwrap();
    assert_eq!((names(&store, "sheets").await, node.meter.key_count()), (3, 10_000));
    node.meter.count(&keys[0], &used);
    node.faults.none();
    node.meter.flush().await.unwrap();
    assert_eq!(node.faults.calls(), 2, "one segment is read and replaced");
    node.faults.none();
    node.meter.flush().await.unwrap();
    assert_eq!(node.faults.calls(), 0, "who has counted nothing asks for nothing");
    let ids: Vec<_> = keys.iter().map(|key| key.key_id).collect();
    let totals = Node::on(&store, &node.secret).await.meter.totals(&TenantId::default(), &ids).await.unwrap();
    let events: u64 = ids.iter().map(|id| totals.of(*id).events).sum();
    assert_eq!(events, 10_001);
}

fn system_streams(bucket: &Bucket) -> Arc<SystemWriter> {
    let clock = Arc::new(StoreClock::new(Arc::new(ManualClock::new(SystemClock.now()))));
    Arc::new(SystemWriter::new(bucket.clone(), Arc::new(StreamCatalog::new(bucket.clone())), clock))
}

/// Counts, is archived and goes on, on a store of its own kind.
async fn lives_on(place: TestStore) {
    let bucket = place.open();
    let keystore = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    keystore.sync().await.unwrap();
    let new = NewKey::new(KeyName::parse("k").unwrap(), KeyType::Query);
    let key = keystore.issue(&context(), &TenantId::default(), new).await.unwrap().key;
    let node = async || {
        let (bucket, settings) = (place.open(), UsageSettings { max_age: Duration::ZERO, ..Default::default() });
        let keystore = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
        keystore.sync().await.unwrap();
        Meter::new(bucket.clone(), keystore, system_streams(&bucket), settings)
    };
    let at = SystemClock.now();
    let used = Use { at, address: None, admitted: true, older: None, refused: None, events: 1, bytes: 0 };
    let (first, second) = (node().await, node().await);
    first.begin().await.unwrap();
    for meter in [&first, &second, &first] {
        meter.count(&key, &used);
        meter.flush().await.unwrap();
    }
    let total = async |meter: &Meter| meter.totals(&key.tenant, &[key.key_id]).await.unwrap().of(key.key_id).requests;
    assert_eq!((total(&first).await, total(&second).await), (3, 3));
    first.close().await;
    assert_eq!((second.compact().await.unwrap(), second.compact().await.unwrap()), (1, 0));
    assert_eq!((total(&second).await, total(&node().await).await), (3, 3));
}

#[tokio::test]
async fn a_directory_keeps_what_was_counted() {
    lives_on(TestStore::directory()).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs Ceph: run scripts/test.sh")]
async fn ceph_keeps_what_was_counted() {
    lives_on(TestStore::ceph()).await;
}

#[tokio::test]
#[cfg_attr(not(feature = "paused-time"), ignore = "needs moto: run scripts/test.sh")]
async fn moto_keeps_what_was_counted() {
    lives_on(TestStore::moto()).await;
}

#[tokio::test]
async fn a_node_that_ends_in_order_leaves_a_sealed_segment() {
    let (store, secret) = store().await;
    let node = Node::on(&store, &secret).await;
    node.meter.begin().await.unwrap();
    node.count();
    node.meter.close().await;
    node.count();
    node.meter.flush().await.unwrap();
    let other = Node::on(&store, &secret).await;
    assert_eq!((other.total().await, other.meter.compact().await.unwrap(), other.total().await), (1, 1, 1));
}
