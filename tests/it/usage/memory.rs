//! What a node holds of the usage that others have written: it is read by tenant, within a bound, and dropped.

use std::sync::Arc;
use std::time::Duration;

use keyloft::config::UsageSettings;
use keyloft::key::{ApiKey, KeyId, KeyName, KeyType, NewKey, PlainSecret, TenantId};
use keyloft::testing::{Meter, StoreClock, StreamCatalog, SystemWriter, Use};
use keyloft::{Bucket, Clock, Keystore, ManualClock, SystemClock};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::support::{Fault, Faults, Faulty, Kind};

const MAX_BYTES: usize = 1 << 20;
const NODES: u64 = 4;
const PAGE: usize = 500;

struct Node {
    meter: Meter,
    faults: Arc<Faults>,
}

fn node(store: &Arc<dyn ObjectStore>, max_age: Duration) -> Node {
    node_with(store, max_age, Faults::default())
}

fn node_with(store: &Arc<dyn ObjectStore>, max_age: Duration, faults: Faults) -> Node {
    let faults = Arc::new(faults);
    let bucket = Bucket::new(Arc::new(Faulty::new(store.clone(), faults.clone())));
    let keystore = Keystore::new(bucket.clone(), Arc::default(), Arc::new(SystemClock));
    let (catalog, clock) =
        (StreamCatalog::new(bucket.clone()), StoreClock::new(Arc::new(ManualClock::new(SystemClock.now()))));
    let streams = Arc::new(SystemWriter::new(bucket.clone(), Arc::new(catalog), Arc::new(clock)));
    let settings = UsageSettings { max_age, max_cached_bytes: MAX_BYTES, stream: false, ..UsageSettings::default() };
    Node { meter: Meter::new(bucket, keystore, streams, settings), faults }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// Keys of a tenant, in order of id.
fn keys(tenant: &TenantId, count: usize) -> Vec<ApiKey> {
    let secret = PlainSecret::generate(KeyType::Ingestion).unwrap();
    let new = |number| NewKey::new(KeyName::parse(&format!("k{number}")).unwrap(), KeyType::Ingestion);
    let mut keys: Vec<_> =
        (0..count).map(|number| new(number).into_key(tenant.clone(), secret.digest(), secret.hint())).collect();
    keys.sort_by_key(|key| key.key_id);
    keys
}

fn used() -> Use {
    Use { at: SystemClock.now(), address: None, admitted: true, older: None, refused: None, events: 1, bytes: 0 }
}

/// Nodes that have counted one use of each key and written it down.
async fn written(store: &Arc<dyn ObjectStore>, keys: &[&[ApiKey]]) {
    for _ in 0..NODES {
        let node = node(store, Duration::ZERO);
        keys.iter().copied().flatten().for_each(|key| node.meter.count(key, &used()));
        node.meter.begin().await.unwrap();
        node.meter.flush().await.unwrap();
    }
}

#[tokio::test]
async fn the_usage_of_many_keys_is_listed_within_a_bound_on_memory() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let tenants: Vec<_> = ["a", "b", "c"].map(tenant).into_iter().map(|tenant| keys(&tenant, 6_000)).collect();
    let few = keys(&tenant("few"), 10);
    let all: Vec<&[ApiKey]> = tenants.iter().chain([&few]).map(Vec::as_slice).collect();
    written(&store, &all).await;
    let looker = node(&store, Duration::from_secs(60)).meter;
    let (mut largest, mut counted) = (0, 0);
    for keys in &all {
        for page in keys.chunks(PAGE) {
            let ids: Vec<KeyId> = page.iter().map(|key| key.key_id).collect();
            let totals = looker.totals(&page[0].tenant, &ids).await.unwrap();
            assert!(ids.iter().all(|id| totals.of(*id).events == NODES));
            counted += ids.len();
            largest = largest.max(looker.cached_bytes());
        }
    }
    assert_eq!(counted, 18_010);
    // A page is kept whatever it takes: half a kilobyte for each of its keys is plenty.
    assert!(largest > MAX_BYTES / 4 && largest <= MAX_BYTES + PAGE * 512, "{largest} bytes");
}

#[tokio::test]
async fn objects_that_do_not_speak_of_a_tenant_are_not_read_for_it() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (many, few) = (keys(&tenant("many"), 50), keys(&tenant("few"), 1));
    written(&store, &[&many]).await;
    let looker = node(&store, Duration::ZERO);
    let ids = [few[0].key_id];
    assert_eq!(looker.meter.totals(&tenant("few"), &ids).await.unwrap().of(ids[0]).events, 0);
    looker.faults.none();
    assert_eq!(looker.meter.totals(&tenant("few"), &ids).await.unwrap().of(ids[0]).events, 0);
    assert_eq!(looker.faults.calls(), 3, "the archive, a listing, and the archive again");
    written(&store, &[&few]).await;
    assert_eq!(looker.meter.totals(&tenant("few"), &ids).await.unwrap().of(ids[0]).events, NODES);
    let last = looker.meter.last_used(&tenant("many"), SystemClock.now()).await.unwrap();
    let now = SystemClock.now();
    assert!(!last.is_unused_since(&ApiKey { created_at: None, ..many[0].clone() }, now));
}

#[tokio::test]
async fn what_was_read_for_a_caller_who_left_is_there_for_the_next_one() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let keys = keys(&tenant("a"), 10);
    written(&store, &[&keys]).await;
    let looker = node_with(&store, Duration::from_secs(60), Faults::slow(Duration::from_millis(30)));
    let ids = [keys[0].key_id];
    let totals = looker.meter.totals(&keys[0].tenant, &ids);
    assert!(tokio::time::timeout(Duration::from_millis(10), totals).await.is_err());
    for _ in 0..500 {
        if looker.meter.cached_bytes() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    looker.faults.inject(Fault::ErrorBefore, |call| call.kind == Kind::Read || call.kind == Kind::List);
    assert_eq!(looker.meter.totals(&keys[0].tenant, &ids).await.unwrap().of(ids[0]).events, NODES);
}
