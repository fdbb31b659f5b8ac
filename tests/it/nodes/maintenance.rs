//! What must be prompt never waits for maintenance: polls, heartbeats and receipts on a store that is far away, with
//! much to do. Time stands still until everybody waits.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use keyloft::access::{Action, AdminDigest, Attempt, authenticate};
use keyloft::config::Config;
use keyloft::http::App;
use keyloft::key::{
    Actor, ApiKey, Digest, Hint, KeyId, KeyName, KeyState, KeyType, NewKey, NodeId, PlainSecret, StreamName, TenantId,
};
use keyloft::keystore::{Lookup, SyncSettings};
use keyloft::testing::layout::{self, ObjectName};
use keyloft::testing::{ChangedObject, Document, KeyDocument, LogEntry, StreamSchema};
use keyloft::{Bucket, Clock, Keystore, RequestContext};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use super::history::time::{Skewed, Start};
use crate::support::dated::Dated;
use crate::support::{Call, Fault, Faults, Faulty, Kind};

const LATENCY: Duration = Duration::from_millis(50);
/// The longest pause between two polls: an interval and a fifth, and some round trips.
const POLL_GAP: Duration = Duration::from_millis(2_000);
/// The longest pause between two heartbeats.
const BEAT_GAP: Duration = Duration::from_millis(63_000);

/// A store, and the time.
struct Scene {
    shared: Dated,
    clock: Arc<Skewed>,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(Skewed::new(Start::now()));
        Self { shared: Dated::new(clock.clone()), clock }
    }

    /// The store, far away.
    fn store(&self) -> (Arc<Faulty>, Arc<Faults>) {
        let faults = Arc::new(Faults::slow(LATENCY));
        (Arc::new(Faulty::new(Arc::new(self.shared.clone()), faults.clone())), faults)
    }

    async fn put(&self, name: &ObjectName, body: impl Into<object_store::PutPayload>) {
        self.shared.put(&path(name), body.into()).await.unwrap();
    }

    /// A key in the bucket, and its API key.
    async fn key(&self, number: usize, state: KeyState, modified_at: DateTime<Utc>) -> (KeyId, PlainSecret) {
        let secret = PlainSecret::generate(KeyType::Query).unwrap();
        let new = NewKey::new(KeyName::parse(&format!("key {number}")).unwrap(), KeyType::Query);
        let key = new.into_key(TenantId::default(), secret.digest(), Hint::parse("x7Qa").unwrap());
        let key = ApiKey { state, modified_at: Some(modified_at), ..key };
        self.put(&name(key.key_id), KeyDocument::new(&key).to_bytes()).await;
        (key.key_id, secret)
    }

    /// A keystore that has loaded everything, and that follows.
    async fn node(&self) -> Node {
        let (store, faults) = self.store();
        let bucket = Bucket::new(store);
        let keystore = Keystore::with_settings(bucket, Arc::default(), self.clock.clone(), SyncSettings::default());
        keystore.replica().publish().await.unwrap();
        keystore.sync().await.unwrap();
        let following = tokio::spawn({
            let keystore = keystore.clone();
            async move { keystore.follow().await }
        });
        Node { keystore, faults, following }
    }

    async fn count(&self, folder: &str) -> usize {
        use futures::TryStreamExt;
        self.shared.list(Some(&Path::parse(folder).unwrap())).try_collect::<Vec<_>>().await.unwrap().len()
    }
}

struct Node {
    keystore: Keystore,
    faults: Arc<Faults>,
    following: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn name(key_id: KeyId) -> ObjectName {
    ObjectName::Key { tenant: TenantId::default(), key_id }
}

fn path(name: &ObjectName) -> Path {
    Path::parse(name.path().as_str()).unwrap()
}

fn admits(keystore: &Keystore, secret: &PlainSecret) -> bool {
    authenticate(keystore.cache(), secret.expose(), &Attempt::new(Action::Inspect, keystore.now())).is_ok()
}

fn context(scene: &Scene) -> RequestContext {
    RequestContext::new(Actor::System, scene.clock.now())
}

fn is_about_the_log(call: &Call) -> bool {
    call.is_about("keyloft/log/")
}

#[track_caller]
fn assert_no_gap(what: &str, times: &[Instant], longest: Duration) {
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(gap <= longest, "{what}: {gap:?} without one");
}

#[tokio::test(start_paused = true)]
async fn polls_and_heartbeats_keep_their_period_and_receipts_are_right_whatever_there_is_to_maintain() {
    const STREAMS: usize = 10_000;
    const DUE: usize = 5_000;
    let scene = Scene::new();
    let schema = Document::to_bytes(&StreamSchema::default());
    for number in 0..STREAMS {
        let stream = StreamName::parse(&format!("stream-{number}")).unwrap();
        scene.put(&ObjectName::Schema { tenant: TenantId::default(), stream }, schema.clone()).await;
    }
    let long_ago = scene.clock.now() - TimeDelta::days(400);
    for number in 0..DUE {
        scene.key(number, KeyState::Revoked, long_ago).await;
    }
    let mut live = Vec::new();
    for number in 0..40 {
        live.push(scene.key(DUE + number, KeyState::Active, long_ago).await);
    }
    let (stores, local) = ([scene.store(), scene.store()], LocalSet::new());
    local
        .run_until(async {
            let mut apps = Vec::new();
            for (store, _) in &stores {
                let mut config = Config::default();
                config.sync.reconcile_interval = Duration::from_secs(50);
                config.sync.max_stale = Some(Duration::from_secs(10));
                let bucket = Bucket::new(store.clone());
                let admin = AdminDigest::new(Digest::of("admin"));
                let app = App::new(&config, bucket, Arc::default(), scene.clock.clone(), admin).unwrap();
                let app = Arc::new(app);
                app.hydrate().await;
                apps.push(app.clone());
                tokio::task::spawn_local(async move { app.follow().await });
            }
            let [a, b] = [&apps[0].keystore, &apps[1].keystore];
            let start = Instant::now();
            for (id, secret) in &live {
                assert!(admits(a, secret) && admits(b, secret));
                let revoked = a.revoke(&context(&scene), &TenantId::default(), *id, None).await.unwrap();
                let receipt = a.replica().wait_for(revoked.change_seq, Duration::from_secs(5)).await;
                assert!(receipt.is_complete() && receipt.live_nodes == Some(2), "{receipt:?}");
                assert!(!admits(a, secret) && !admits(b, secret), "a receipt claimed what is not so");
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    let stale = [a, b].map(|node| !node.cache().is_good_at(scene.clock.now()));
                    assert_eq!(stale, [false, false], "a node takes itself for stale after {:?}", start.elapsed());
                }
            }
            for (node, (_, faults)) in [a, b].into_iter().zip(&stores) {
                let since = |times: Vec<Instant>| times.into_iter().filter(|at| *at >= start).collect::<Vec<_>>();
                assert_no_gap(
                    "polls",
                    &since(faults.times(|call| call.kind == Kind::Read && is_about_the_log(call))),
                    POLL_GAP,
                );
                let own = format!("keyloft/nodes/{}", node.replica().node_id());
                assert_no_gap(
                    "heartbeats",
                    &since(faults.times(|call| call.is_write() && call.is_about(&own))),
                    BEAT_GAP,
                );
                let schemas = faults.times(|call| call.kind == Kind::Read && call.is_about("schema.json"));
                assert!(since(schemas).len() > STREAMS, "the streams were not looked at");
            }
            let left = scene.count(".settings/apikeys").await;
            assert!(left <= live.len(), "{left} keys are left: the purge did not come to its end");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_polls_stall_is_named_in_receipts_for_as_long_as_it_lives() {
    let scene = Scene::new();
    let mut keys = Vec::new();
    for number in 0..4 {
        keys.push(scene.key(number, KeyState::Active, scene.clock.now()).await);
    }
    let (a, b) = (scene.node().await, scene.node().await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    b.faults.inject(Fault::Hang, is_about_the_log);
    let stalled = b.keystore.replica().node_id();
    for (id, secret) in &keys[..3] {
        let revoked = a.keystore.revoke(&context(&scene), &TenantId::default(), *id, None).await.unwrap();
        let receipt = a.keystore.replica().wait_for(revoked.change_seq, Duration::from_secs(5)).await;
        assert!(admits(&b.keystore, secret), "it has not heard of it");
        assert_eq!((receipt.is_complete(), &*receipt.behind), (false, &[stalled][..]), "{receipt:?}");
        tokio::time::sleep(Duration::from_secs(150)).await;
    }
    b.faults.none();
    let revoked = a.keystore.revoke(&context(&scene), &TenantId::default(), keys[3].0, None).await.unwrap();
    let receipt = a.keystore.replica().wait_for(revoked.change_seq, Duration::from_secs(10)).await;
    assert!(receipt.is_complete() && receipt.live_nodes == Some(2), "{receipt:?}");
    assert!(keys.iter().all(|(_, secret)| !admits(&b.keystore, secret)));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_started_again() {
    let scene = Scene::new();
    let (id, secret) = scene.key(1, KeyState::Active, scene.clock.now()).await;
    let (a, b) = (scene.node().await, scene.node().await);
    b.faults.inject(Fault::Hang, |call| if is_about_the_log(call) { panic!("a defect") } else { false });
    tokio::time::sleep(Duration::from_secs(5)).await;
    a.keystore.revoke(&context(&scene), &TenantId::default(), id, None).await.unwrap();
    assert!(admits(&b.keystore, &secret));
    b.faults.none();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!admits(&b.keystore, &secret));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_does_not_wait_behind_a_bulk_change_that_was_logged_before_it() {
    let scene = Scene::new();
    let mut keys = Vec::new();
    for number in 0..5_001 {
        keys.push(scene.key(number, KeyState::Active, scene.clock.now()).await);
    }
    let (a, b) = (scene.node().await, scene.node().await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (last, secret) = keys.pop().unwrap();
    let bulk = a.keystore.replica().applied_seq() + 1;
    for (seq, ids) in (bulk..).zip(keys.chunks(LogEntry::MAX_CHANGES)) {
        let change = |(key_id, _): &(KeyId, PlainSecret)| {
            ChangedObject::Key { tenant: TenantId::default(), key_id: *key_id }.by_unknown()
        };
        let entry = LogEntry::new(NodeId::random(), scene.clock.now(), ids.iter().map(change).collect());
        scene.put(&ObjectName::LogEntry { seq }, entry.to_bytes()).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let revoked = a.keystore.revoke(&context(&scene), &TenantId::default(), last, None).await.unwrap();
    assert!(revoked.change_seq > bulk);
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert!(!admits(&b.keystore, &secret), "it waits behind {} changes", keys.len());
    assert!(b.keystore.replica().applied_seq() < revoked.change_seq, "what is not applied is not claimed");
    let receipt = a.keystore.replica().wait_for(revoked.change_seq, Duration::from_secs(30)).await;
    assert!(receipt.is_complete(), "{receipt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_waits_for_changes_whose_callers_have_gone_and_is_not_heard_of_again() {
    let scene = Scene::new();
    let node = scene.node().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.count(layout::nodes().as_str()).await, 1);
    let new = NewKey::new(KeyName::parse("late").unwrap(), KeyType::Query);
    let tenant = TenantId::default();
    let context = context(&scene);
    let issue = node.keystore.issue(&context, &tenant, new);
    assert!(tokio::time::timeout(Duration::from_millis(75), issue).await.is_err(), "it takes several round trips");
    node.keystore.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(scene.count(".settings/apikeys").await, 1, "the change is durable");
    assert_eq!(scene.count(layout::log().as_str()).await, 1, "and logged");
    assert_eq!(scene.count(layout::nodes().as_str()).await, 0);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(scene.count(layout::nodes().as_str()).await, 0, "its heart beats no more");
    assert!(node.following.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_key_of_a_node_that_has_just_started_is_known_to_one_that_took_itself_for_alone() {
    for round in 0..20 {
        let scene = Scene::new();
        let a = scene.node().await;
        let unknown = || PlainSecret::generate(KeyType::Query).unwrap().digest();
        let mut looks = 0;
        while a.keystore.decide_lookup(&unknown(), None) != Lookup::Alone {
            tokio::time::sleep(Duration::from_millis(100)).await;
            looks += 1;
            assert!(looks < 100, "it never takes itself for alone");
        }
        // At some moment between two polls and two heartbeats.
        tokio::time::sleep(Duration::from_millis(137 * round)).await;
        let b = scene.node().await;
        let new = NewKey::new(KeyName::parse("new").unwrap(), KeyType::Query);
        let begin = Instant::now();
        let issued = b.keystore.issue(&context(&scene), &TenantId::default(), new).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(3), "the others are there, and answer: {:?}", begin.elapsed());
        if !admits(&a.keystore, &issued.secret) {
            let decided = a.keystore.decide_lookup(&issued.secret.digest(), None);
            assert_eq!(decided, Lookup::Needed, "round {round}");
            a.keystore.look_up(&issued.secret.digest(), None).await.unwrap();
            assert!(admits(&a.keystore, &issued.secret), "round {round}");
        }
        let begin = Instant::now();
        let new = NewKey::new(KeyName::parse("next").unwrap(), KeyType::Query);
        b.keystore.issue(&context(&scene), &TenantId::default(), new).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(1), "only its first change waits: {:?}", begin.elapsed());
        // Once the other is gone for good, it is alone again.
        b.keystore.close(Duration::from_secs(5)).await.unwrap();
        drop(b);
        for _ in 0..70 {
            let _decided = a.keystore.decide_lookup(&unknown(), None);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(a.keystore.decide_lookup(&unknown(), None), Lookup::Alone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_polls_stall_does_not_take_itself_for_alone_for_long() {
    let scene = Scene::new();
    let a = scene.node().await;
    let unknown = || PlainSecret::generate(KeyType::Query).unwrap().digest();
    for _ in 0..50 {
        let _decided = a.keystore.decide_lookup(&unknown(), None);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(a.keystore.decide_lookup(&unknown(), None), Lookup::Alone);
    a.faults.inject(Fault::Hang, is_about_the_log);
    let b = scene.node().await;
    let new = NewKey::new(KeyName::parse("new").unwrap(), KeyType::Query);
    let issued = b.keystore.issue(&context(&scene), &TenantId::default(), new).await.unwrap();
    assert_ne!(a.keystore.decide_lookup(&issued.secret.digest(), None), Lookup::Alone);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_new_fields_appends_few_entries_to_the_log_too() {
    let scene = Scene::new();
    let a = scene.node().await;
    let before = scene.count(layout::log().as_str()).await;
    // Slower than streams of the same moment share an entry.
    for number in 0..150 {
        let stream = StreamName::parse(&format!("stream-{number}")).unwrap();
        a.keystore.announce_stream(TenantId::default(), stream);
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let entries = scene.count(layout::log().as_str()).await - before;
    assert!(entries <= 5 + 9 + 1, "{entries} entries in a minute and a half");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_new_fields_appends_few_entries_to_the_log_and_names_every_stream() {
    let scene = Scene::new();
    let (a, b) = (scene.node().await, scene.node().await);
    let heard = Arc::new(parking_lot::Mutex::new(std::collections::BTreeSet::new()));
    let listener = heard.clone();
    b.keystore.replica().on_stream(move |_, stream| _ = listener.lock().insert(stream.clone()));
    let before = scene.count(layout::log().as_str()).await;
    for number in 0..6_000 {
        let stream = StreamName::parse(&format!("stream-{}", number % 3_000)).unwrap();
        a.keystore.announce_stream(TenantId::default(), stream);
        if number == 0 {
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            assert_eq!(heard.lock().len(), 1, "what is rare is announced within a poll");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let entries = scene.count(layout::log().as_str()).await - before;
    assert!(entries <= 16, "{entries} entries in a minute and a half");
    assert_eq!(heard.lock().len(), 3_000);
}
