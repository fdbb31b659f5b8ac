//! A reconcile with a snapshot is one without, but for the reads.

use chrono::TimeDelta;
use futures::TryStreamExt;

use super::{Node, Scene, an_instant, key, name, path, plain};
use crate::faults::Kind;
use crate::key::{ApiKey, KeyState, NodeId};
use crate::layout::{self, ObjectName};
use crate::sync::log::{self, LogEntry};

pub(super) const MANY: usize = 1_500;

/// A scene with many keys and a snapshot of them.
pub(super) async fn with_snapshot() -> (Scene, Vec<ApiKey>, Node) {
    let scene = Scene::new();
    let keys = scene.fill(MANY).await;
    let node = scene.started().await;
    assert!(node.replica.compact().await.unwrap());
    (scene, keys, node)
}

pub(super) async fn objects(scene: &Scene) -> Vec<ObjectName> {
    let listed = scene.bucket.walk(&layout::snapshots()).try_concat().await.unwrap();
    listed.iter().map(|listed| ObjectName::parse(&listed.path).unwrap()).collect()
}

pub(super) async fn grow_log(scene: &Scene, entries: std::ops::RangeInclusive<u64>) {
    for seq in entries {
        let entry = LogEntry::new(NodeId::random(), an_instant(), Vec::new());
        let _ = scene.bucket.create(&ObjectName::LogEntry { seq }, entry.to_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_spares_the_reads_and_gives_the_same_keys() {
    let scene = Scene::new();
    let mut keys = scene.fill(MANY).await;
    for more in [plain(1), ApiKey { state: KeyState::Revoked, ..plain(2) }] {
        scene.put(&more).await;
        keys.push(more);
    }
    let first = scene.started().await;
    assert!(first.replica.compact().await.unwrap());
    assert!(!first.replica.compact().await.unwrap(), "one is enough");
    let second = scene.node();
    let (counts, gets, _) = scene.asked(second.replica.reconcile()).await;
    assert_eq!(counts.unwrap().keys, MANY + 2);
    assert!(gets < 6, "{gets}");
    assert!(keys.iter().all(|key| second.has(key)));
    let (_, gets, _) = scene.asked(second.replica.reconcile()).await;
    assert_eq!(gets, 3, "what came from the snapshot is known by its tag");
    assert!(!second.replica.compact().await.unwrap(), "the node that starts sees that there is one");
}

#[tokio::test]
async fn the_listing_decides_and_not_the_snapshot() {
    let (scene, keys, _) = with_snapshot().await;
    scene.remove(&name(&keys[0])).await;
    let revoked = ApiKey { state: KeyState::Revoked, rev: 8, ..keys[1].clone() };
    scene.put(&revoked).await;
    scene.put_text(&name(&keys[2]), "broken").await;
    let added = key(5);
    scene.put(&added).await;
    let hidden = path(&name(&keys[3]));
    scene.faults.hide(move |path| *path == hidden);
    let node = scene.node();
    let (_, gets, _) = scene.asked(node.replica.reconcile()).await;
    assert!(gets < 9, "{gets}");
    assert!(!node.has(&keys[0]) && node.has(&revoked) && !node.has(&keys[2]) && node.has(&added));
    assert!(!node.has(&keys[3]), "what is not listed is not let in");
    assert_eq!(node.cache.key_count(), MANY - 2);
}

#[tokio::test]
async fn a_bad_snapshot_gives_way_to_the_previous_one_and_then_to_reads() {
    let (scene, keys, node) = with_snapshot().await;
    grow_log(&scene, 1..=1_100).await;
    node.replica.catch_up().await.unwrap();
    assert!(node.replica.needs_snapshot_soon() && node.replica.compact().await.unwrap());
    assert!(!node.replica.needs_snapshot_soon());
    let part = |seq| {
        let is = move |name: &ObjectName| matches!(name, ObjectName::SnapshotPart { seq: at, .. } if *at == seq);
        async move |scene: &Scene| objects(scene).await.into_iter().find(is).unwrap()
    };
    scene.put_text(&part(1_100)(&scene).await, "not zstd").await;
    let second = scene.node();
    let (_, gets, _) = scene.asked(second.replica.reconcile()).await;
    assert!(gets < 9 && keys.iter().all(|key| second.has(key)), "{gets}: from the previous one");
    scene.remove(&part(0)(&scene).await).await;
    let third = scene.node();
    let (_, gets, _) = scene.asked(third.replica.reconcile()).await;
    assert!(gets > MANY && keys.iter().all(|key| third.has(key)), "{gets}: from the documents");
    assert!(third.replica.compact().await.unwrap(), "no good one is left");
    let (_, gets, _) = scene.asked(scene.node().replica.reconcile()).await;
    assert!(gets < 9, "{gets}");
    assert_eq!(objects(&scene).await.len(), 3, "what cannot be used is removed");
}

#[tokio::test]
async fn a_part_that_was_tampered_with_is_told_by_its_checksum() {
    let (scene, _, _) = with_snapshot().await;
    for name in objects(&scene).await {
        if matches!(name, ObjectName::SnapshotPart { .. }) {
            let mut body = scene.bucket.read_large(&name, u64::MAX).await.unwrap().unwrap().to_vec();
            let middle = body.len() / 2;
            body[middle] ^= 1;
            scene.put_text(&name, body).await;
        }
    }
    let node = scene.node();
    let (_, gets, _) = scene.asked(node.replica.reconcile()).await;
    assert!(gets > MANY && node.cache.key_count() == MANY);
}

#[tokio::test]
async fn three_snapshots_are_kept_and_the_log_is_trimmed_up_to_the_previous_one() {
    let (scene, _, node) = with_snapshot().await;
    for round in 1..=4 {
        grow_log(&scene, (round - 1) * 1_100 + 1..=round * 1_100).await;
        node.replica.catch_up().await.unwrap();
        assert!(node.replica.compact().await.unwrap());
    }
    let manifests = objects(&scene).await.into_iter().filter(|name| matches!(name, ObjectName::Snapshot { .. }));
    assert_eq!((manifests.count(), objects(&scene).await.len()), (3, 9));
    // All entries are younger than an hour by the clock of the store.
    assert_eq!(scene.bucket.list(&layout::log()).await.unwrap().len(), 4_400);
    let later = an_instant() + TimeDelta::hours(1);
    assert_eq!(log::trim(&scene.bucket, 3_300, later).await.unwrap(), 3_300);
    let fresh = scene.started().await;
    assert_eq!((fresh.replica.applied_seq(), fresh.cache.key_count()), (4_400, MANY));
}

#[tokio::test]
async fn what_this_node_wrote_since_the_last_pass_is_read_again() {
    let (scene, keys, node) = with_snapshot().await;
    node.replica.about_to_write(&keys[0].tenant, keys[0].key_id);
    grow_log(&scene, 1..=1_100).await;
    node.replica.catch_up().await.unwrap();
    assert!(node.replica.compact().await.unwrap());
    let second = scene.node();
    let (_, gets, _) = scene.asked(second.replica.reconcile()).await;
    assert!((2..9).contains(&gets) && second.has(&keys[0]), "{gets}");
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_finished_leaves_nothing_behind() {
    let scene = Scene::new();
    scene.fill(MANY).await;
    let node = scene.started().await;
    scene.fail(Kind::Create, ".json"); // The table of contents, which is written last.
    assert!(node.replica.compact().await.is_err());
    assert!(objects(&scene).await.is_empty());
    scene.faults.none();
    assert!(node.replica.compact().await.unwrap());
}

#[tokio::test]
async fn keys_by_the_ten_thousand_are_listed_by_ranges() {
    let scene = Scene::new();
    let keys: Vec<_> = (0..10_000).map(plain).collect();
    for key in &keys {
        scene.put(key).await;
    }
    let node = scene.node();
    let (_, _, lists) = scene.asked(node.replica.reconcile()).await;
    assert!(lists > 15, "{lists}");
    assert!(node.cache.key_count() == 10_000 && keys.iter().all(|key| node.has(key)));
}
