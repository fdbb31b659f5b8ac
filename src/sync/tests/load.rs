//! A start from a snapshot and the change log: what a node knows when it is ready, and what only later.

use std::time::Duration;

use super::snapshot::{MANY, grow_log, objects, with_snapshot};
use super::{Node, Scene, an_instant, key, name, plain};
use crate::faults::Kind;
use crate::key::{ApiKey, Attribution, Digest, KeyState, KeyType, NodeId, Tenant, TenantId};
use crate::layout::{self, ObjectName};
use crate::sync::log::{self, LogEntry, Slot};
use crate::sync::{ChangedObject, LoggedChange};

impl Scene {
    /// A node that has started as `keyloft serve` does.
    async fn loaded(&self) -> Node {
        let node = self.node();
        node.replica.load().await.unwrap();
        node
    }

    async fn log(&self, seq: u64, changed_object: ChangedObject) {
        let entry = LogEntry::new(NodeId::random(), an_instant(), vec![changed_object.by_unknown()]);
        let _ = self.bucket.create(&ObjectName::LogEntry { seq }, entry.to_bytes()).await.unwrap();
    }

    async fn put_tenant(&self, tenant: &TenantId, suspended: &[KeyType]) {
        let record = serde_json::json!({"version": 1, "name": null, "suspended": suspended});
        self.put_text(&ObjectName::Tenant { tenant: tenant.clone() }, record.to_string()).await;
    }
}

impl Node {
    fn is_verified(&self) -> bool {
        assert!(self.cache.is_hydrated());
        self.cache.is_verified()
    }
}

fn changed_object(key: &ApiKey) -> ChangedObject {
    ChangedObject::Key { tenant: key.tenant.clone(), key_id: key.key_id }
}

fn revoked(key: &ApiKey) -> ApiKey {
    ApiKey { state: KeyState::Revoked, rev: key.rev + 1, ..key.clone() }
}

#[tokio::test]
async fn a_snapshot_and_the_log_make_a_node_ready_without_any_listing_of_keys() {
    let (scene, keys, _) = with_snapshot().await;
    let node = scene.node();
    let (counts, gets, lists) = scene.asked(node.replica.load()).await;
    assert_eq!((counts.unwrap().keys, lists), (MANY, 3), "snapshots, nodes, and what stands beyond the end of the log");
    assert!(gets < 6, "{gets}");
    assert!(!node.is_verified() && keys.iter().all(|key| node.has(key)));
    tokio::time::timeout(Duration::from_secs(1), node.replica.incomplete()).await.unwrap();
    let (counts, gets, _) = scene.asked(node.replica.reconcile()).await;
    let counts = counts.unwrap();
    assert_eq!((counts.keys, counts.changed, counts.removed, gets), (MANY, 0, 0, 3), "every tag is known");
    assert!(node.is_verified() && !node.replica.compact().await.unwrap());
}

#[tokio::test]
async fn what_was_logged_since_is_known_before_a_node_is_ready() {
    let (scene, keys, _) = with_snapshot().await;
    let (gone, issued) = (revoked(&keys[0]), plain(9));
    for (seq, key) in (1..).zip([&gone, &issued]) {
        scene.put(key).await;
        scene.log(seq, changed_object(key)).await;
    }
    scene.remove(&name(&keys[1])).await;
    scene.log(3, changed_object(&keys[1])).await;
    let node = scene.loaded().await;
    assert!(node.has(&gone) && node.has(&issued) && node.cache.find(&keys[1].digest).is_none());
    assert_eq!((node.replica.applied_seq(), node.is_verified()), (3, false));
}

#[tokio::test]
async fn a_gap_in_the_log_behind_the_snapshot_asks_for_everything_before_a_node_is_ready() {
    let (scene, keys, _) = with_snapshot().await;
    let gone = revoked(&keys[0]);
    scene.put(&gone).await; // Its entry was the third, and is not there any more.
    grow_log(&scene, 1..=2).await;
    grow_log(&scene, 4..=5).await;
    let node = scene.loaded().await;
    assert!(node.is_verified() && node.has(&gone));
}

#[tokio::test]
async fn a_log_that_ends_before_another_node_did_asks_for_everything_too() {
    let (scene, keys, first) = with_snapshot().await;
    grow_log(&scene, 1..=5).await;
    first.replica.poll().await.unwrap();
    first.replica.publish().await.unwrap();
    for seq in 1..=5 {
        scene.remove(&ObjectName::LogEntry { seq }).await;
    }
    let gone = revoked(&keys[0]);
    scene.put(&gone).await;
    let node = scene.loaded().await;
    assert!(node.is_verified() && node.has(&gone) && node.replica.applied_seq() == 5);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_asks_for_everything_too() {
    let (scene, keys, _) = with_snapshot().await;
    let gone = revoked(&keys[0]);
    scene.put(&gone).await;
    scene.put_text(&ObjectName::LogEntry { seq: 1 }, "not an entry").await;
    let node = scene.loaded().await;
    assert!(node.is_verified() && node.has(&gone));
}

#[tokio::test]
async fn a_damaged_snapshot_gives_way_to_the_previous_one_if_the_log_reaches_back_that_far() {
    for trimmed in [false, true] {
        let (scene, keys, node) = with_snapshot().await;
        let gone = revoked(&keys[0]);
        scene.put(&gone).await;
        scene.log(1, changed_object(&gone)).await;
        grow_log(&scene, 2..=1_100).await;
        node.replica.catch_up().await.unwrap();
        assert!(node.replica.compact().await.unwrap());
        for name in objects(&scene).await {
            if matches!(name, ObjectName::SnapshotPart { seq: 1_100, .. }) {
                scene.put_text(&name, "half of").await;
            }
        }
        if trimmed {
            log::trim(&scene.bucket, 1_100, an_instant() + chrono::TimeDelta::hours(1)).await.unwrap();
        }
        let node = scene.loaded().await;
        assert_eq!((node.is_verified(), node.has(&gone)), (trimmed, true));
        assert_eq!(node.replica.applied_seq(), 1_100);
    }
}

#[tokio::test]
async fn a_snapshot_of_an_older_version_only_spares_reads() {
    let (scene, keys, _) = with_snapshot().await;
    for name in objects(&scene).await {
        if matches!(name, ObjectName::Snapshot { .. }) {
            let body = scene.bucket.read(&name).await.unwrap().unwrap().body;
            let mut manifest: serde_json::Value = serde_json::from_slice(&body).unwrap();
            manifest.as_object_mut().unwrap().remove("tenants").unwrap();
            scene.put_text(&name, manifest.to_string()).await;
        }
    }
    let node = scene.node();
    let (_, gets, _) = scene.asked(node.replica.load()).await;
    assert!(gets < 8 && node.is_verified() && keys.iter().all(|key| node.has(key)), "{gets}");
}

#[tokio::test]
async fn a_snapshot_holds_what_its_writer_did_not_read_itself() {
    let scene = Scene::new();
    let mut keys = scene.fill(MANY).await;
    let suspended = TenantId::parse("acme").unwrap();
    scene.put_tenant(&suspended, &[KeyType::Query]).await;
    let first = scene.started().await;
    keys[0] = revoked(&keys[0]);
    scene.put(&keys[0]).await;
    first.replica.about_to_write(&keys[0].tenant, keys[0].key_id);
    first.cache.put_key(std::sync::Arc::new(keys[0].clone()));
    assert!(first.replica.compact().await.unwrap());
    let node = scene.loaded().await;
    assert!(!node.is_verified() && keys.iter().all(|key| node.has(key)));
    assert!(node.cache.tenant(&suspended).unwrap().suspended.contains(&KeyType::Query));
    let counts = node.replica.reconcile().await.unwrap();
    assert_eq!((counts.keys, counts.changed), (MANY, 0));
    assert!(matches!(log::read(&scene.bucket, 1).await.unwrap(), Slot::Free), "nothing was changed by hand");
}

/// The log names one of two keys that share a secret: it must not be let in alone.
#[tokio::test]
async fn keys_that_share_a_secret_stay_refused_after_a_start_from_a_snapshot() {
    let scene = Scene::new();
    let keys = scene.fill(MANY).await;
    let twin = ApiKey { digest: keys[0].digest, ..key(7) };
    scene.put(&twin).await;
    let first = scene.started().await;
    assert!(first.cache.find(&twin.digest).is_none() && first.replica.compact().await.unwrap());
    let changed = ApiKey { rev: 8, ..keys[0].clone() };
    scene.put(&changed).await;
    scene.log(1, changed_object(&changed)).await;
    let node = scene.loaded().await;
    assert!(!node.is_verified() && node.cache.find(&twin.digest).is_none());
    scene.remove(&name(&twin)).await;
    node.replica.reconcile().await.unwrap();
    assert!(node.has(&changed));
}

#[tokio::test]
async fn an_unusable_document_counts_as_after_any_other_start() {
    let (scene, keys, first) = with_snapshot().await;
    scene.put_text(&name(&keys[0]), "broken").await;
    let node = scene.loaded().await;
    assert!(node.has(&keys[0]), "nobody can know yet");
    node.replica.reconcile().await.unwrap();
    assert!(!node.has(&keys[0]) && node.cache.unreadable().len() == 1);
    // A node that runs keeps the key, but does not hand it on.
    first.replica.reconcile().await.unwrap();
    grow_log(&scene, 2..=1_100).await;
    first.replica.catch_up().await.unwrap();
    assert!(first.has(&keys[0]) && first.replica.compact().await.unwrap());
    assert!(!scene.loaded().await.has(&keys[0]));
}

#[tokio::test]
async fn a_tenant_whose_record_cannot_be_read_stays_refused_until_it_can() {
    let scene = Scene::new();
    scene.fill(MANY).await;
    let acme = TenantId::parse("acme").unwrap();
    scene.put_tenant(&acme, &[]).await;
    let first = scene.started().await;
    scene.put_text(&ObjectName::Tenant { tenant: acme.clone() }, "broken").await;
    first.replica.reconcile().await.unwrap();
    assert!(first.cache.tenant(&acme).unwrap().suspended.is_empty() && first.replica.compact().await.unwrap());
    let node = scene.loaded().await;
    assert_eq!(*node.cache.tenant(&acme).unwrap(), Tenant::unreadable(acme.clone()));
    scene.put_tenant(&acme, &[]).await;
    assert!(scene.loaded().await.cache.tenant(&acme).unwrap().suspended.is_empty(), "it was mended since");
}

#[tokio::test]
async fn what_was_changed_by_hand_is_found_by_the_verification_and_then_known_everywhere() {
    let (scene, keys, other) = with_snapshot().await;
    let (made, older) = (key(5), ApiKey { rev: 3, ..keys[1].clone() });
    scene.put(&made).await;
    scene.put(&older).await;
    scene.remove(&name(&keys[0])).await;
    let node = scene.loaded().await;
    assert!(node.has(&keys[0]) && node.has(&keys[1]) && node.cache.find(&made.digest).is_none());
    let counts = node.replica.reconcile().await.unwrap();
    assert_eq!((counts.changed, counts.removed), (2, 1));
    let Slot::Taken(entry, _) = log::read(&scene.bucket, 1).await.unwrap() else { panic!("no entry") };
    let named: std::collections::HashSet<_> = entry.changes.iter().map(|change| change.object.clone()).collect();
    assert_eq!(named, [changed_object(&made), changed_object(&older), changed_object(&keys[0])].into());
    let made_by_a_node = |change: &LoggedChange| change.object == changed_object(&made);
    assert!(entry.changes.iter().all(|change| (change.by == Attribution::default()) != made_by_a_node(change)));
    other.replica.poll().await.unwrap();
    let third = scene.loaded().await;
    for node in [&node, &other, &third] {
        assert!(node.has(&made) && node.has(&older) && node.cache.find(&keys[0].digest).is_none());
        let counts = node.replica.reconcile().await.unwrap();
        assert_eq!((counts.changed, counts.removed), (0, 0));
    }
    assert!(matches!(log::read(&scene.bucket, 2).await.unwrap(), Slot::Free), "it is said once");
}

#[tokio::test]
async fn what_the_log_names_is_not_said_again_by_a_reconcile() {
    let (scene, keys, node) = with_snapshot().await;
    let (gone, issued) = (revoked(&keys[0]), plain(9));
    scene.put(&gone).await;
    scene.put(&issued).await;
    scene.log(1, changed_object(&gone)).await;
    scene.log(2, changed_object(&issued)).await;
    assert_eq!(node.replica.reconcile().await.unwrap().changed, 2);
    assert!(matches!(log::read(&scene.bucket, 3).await.unwrap(), Slot::Free));
}

#[tokio::test]
async fn a_receipt_does_not_count_a_node_that_still_verifies() {
    let (scene, _, first) = with_snapshot().await;
    let node = scene.loaded().await;
    for node in [&first, &node] {
        node.replica.publish().await.unwrap();
    }
    grow_log(&scene, 1..=1).await;
    for node in [&first, &node] {
        node.replica.poll().await.unwrap();
        node.replica.publish().await.unwrap();
    }
    assert_eq!(node.replica.applied_seq(), 1);
    for asked in [&first, &node] {
        let receipt = asked.replica.receipt(1).await;
        assert_eq!((receipt.applied_on, receipt.behind), (1, vec![node.replica.node_id()]));
    }
    node.replica.reconcile().await.unwrap();
    node.replica.publish().await.unwrap();
    assert!(first.replica.receipt(1).await.is_complete() && node.replica.receipt(1).await.is_complete());
}

#[tokio::test]
async fn a_load_that_failed_half_way_goes_on_from_there() {
    let (scene, keys, _) = with_snapshot().await;
    scene.remove(&name(&keys[0])).await;
    scene.log(1, changed_object(&keys[0])).await;
    let node = scene.node();
    scene.fail(Kind::List, layout::log().as_str());
    assert!(node.replica.load().await.is_err());
    assert!(!node.cache.is_hydrated() && node.replica.age().is_none());
    scene.faults.none();
    node.replica.load().await.unwrap();
    assert!(!node.is_verified() && node.cache.find(&keys[0].digest).is_none(), "the snapshot is not taken in twice");
    assert_eq!(node.cache.key_count(), MANY - 1);
}

/// Many nodes at once, while keys are revoked: whatever was acknowledged before a node began is known when it is ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_that_was_acknowledged_before_a_node_started_is_never_missed() {
    let (scene, keys, writer) = with_snapshot().await;
    let (mut acknowledged, mut starts) = (Vec::new(), Vec::new());
    let scene = std::sync::Arc::new(scene);
    for (round, key) in keys.iter().take(200).enumerate() {
        let gone = revoked(key);
        scene.put(&gone).await;
        let change = changed_object(&gone).by_unknown();
        writer.cache.put_key(std::sync::Arc::new(gone.clone()));
        writer.replica.append(vec![change]).await.unwrap();
        acknowledged.push(gone.digest);
        if round % 20 == 0 {
            let (scene, known): (_, Vec<Digest>) = (scene.clone(), acknowledged.clone());
            starts.push(tokio::spawn(async move {
                let node = scene.loaded().await;
                known.iter().filter(|digest| node.cache.find(digest).unwrap().is_live()).count()
            }));
        }
    }
    for start in starts {
        assert_eq!(start.await.unwrap(), 0);
    }
    assert_eq!(scene.bucket.list(&layout::log()).await.unwrap().len(), 200);
}
