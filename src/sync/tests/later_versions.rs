//! What later versions write that this one does not know: none of it hides what this one knows.

use relative_path::RelativePath;
use serde_json::{Value, json};

use super::snapshot::{MANY, objects, with_snapshot};
use super::{Scene, key};
use crate::key::{ApiKey, NodeId};
use crate::layout::ObjectName;

impl Scene {
    async fn log_of_later_version(&self, seq: u64, changes: Value) {
        let entry = json!({
            "version": 1, "nodeId": NodeId::random(), "at": "2026-11-28T00:00:00Z", "changes": changes,
            "writeId": uuid::Uuid::nil(), "batch": {"of": 3},
        });
        self.put_text(&ObjectName::LogEntry { seq }, entry.to_string()).await;
    }

    async fn put_at(&self, name: &str) {
        let path = crate::store::types::object_path(RelativePath::new(name)).unwrap();
        object_store::ObjectStoreExt::put(&*self.memory, &path, "{}".into()).await.unwrap();
    }
}

#[tokio::test]
async fn changes_of_unknown_kinds_are_counted_and_the_others_of_the_entry_are_applied() {
    let scene = Scene::new();
    scene.fill(3).await;
    let node = scene.started().await;
    let issued = key(9);
    scene.put(&issued).await;
    let changes = json!([
        {"kind": "membership", "operator": "8a1f", "modifiedBy": "admin"},
        {"tenant": "default", "keyId": issued.key_id},
        {"kind": "policySet", "tenant": "default", "stream": "web"},
    ]);
    scene.log_of_later_version(1, changes).await;
    scene.log_of_later_version(2, json!([{"kind": "membership", "tenant": "acme"}])).await;
    let (complete, gets, lists) = scene.asked(node.replica.poll()).await;
    assert!(complete.unwrap() && node.has(&issued));
    assert_eq!((node.replica.applied_seq(), node.replica.unknown_changes()), (2, 3));
    assert!(gets < 20 && lists == 0, "no full reconcile: {gets} reads, {lists} listings");
}

#[tokio::test]
async fn a_snapshot_with_parts_of_unknown_kinds_is_used_and_kept_whole() {
    let (scene, keys, _) = with_snapshot().await;
    let names = objects(&scene).await;
    let contents = names.iter().find(|name| matches!(name, ObjectName::Snapshot { .. })).unwrap();
    let ObjectName::Snapshot { seq, id } = *contents else { panic!() };
    let mut manifest: Value =
        serde_json::from_slice(&scene.bucket.read(contents).await.unwrap().unwrap().body).unwrap();
    manifest["memberships"] = json!([{"part": 9, "keys": 1, "bytes": 5, "sha256": "ab"}]);
    scene.put_text(contents, manifest.to_string()).await;
    let part = ObjectName::SnapshotPart { seq, id, part: 9 };
    scene.put_text(&part, "later").await;
    let node = scene.node();
    let (counts, gets, _) = scene.asked(node.replica.load()).await;
    assert!(counts.unwrap().keys == MANY && keys.iter().all(|key| node.has(key)));
    assert!(gets < 8, "from the snapshot: {gets} reads");
    node.replica.reconcile().await.unwrap();
    node.replica.compact().await.unwrap();
    assert!(objects(&scene).await.contains(&part));
}

#[tokio::test]
async fn objects_in_folders_of_later_versions_are_nothing_to_a_full_reconcile() {
    let scene = Scene::new();
    let keys = scene.fill(2).await;
    for name in [
        ".settings/operators/8a1f.json",
        ".settings/policies/web/active.json",
        ".settings/keyloft/operators/8a1f/sessions/1.json",
        ".operators/8a1f.json",
        "policies/active.json",
        "acme/.settings/members/8a1f.json",
    ] {
        scene.put_at(name).await;
    }
    let node = scene.node();
    for _ in 0..2 {
        let counts = node.replica.reconcile().await.unwrap();
        assert_eq!((counts.tenants, counts.keys, counts.unreadable, counts.removed), (1, 2, 0, 0));
    }
    assert!(keys.iter().all(|key: &ApiKey| node.has(key)));
}
