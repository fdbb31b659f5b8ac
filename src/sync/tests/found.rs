//! What a full reconcile finds that was not logged: who has changed it, and that it is entered once.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use object_store::memory::InMemory;
use tokio::sync::Semaphore;

use super::{Node, Scene, key, name};
use crate::documents::{Document as _, RequestContext, StoredKey};
use crate::faults::{Faults, Kind};
use crate::faulty::Faulty;
use crate::key::{Actor, ApiKey, KeyState, RequestId};
use crate::store::Bucket;
use crate::sync::log::{self, Slot};
use crate::sync::{AuditAction, ChangedObject, LoggedChange};

async fn logged(bucket: &Bucket) -> Vec<LoggedChange> {
    let (mut changes, mut seq) = (Vec::new(), 1);
    while let Slot::Taken(entry, _) = log::read(bucket, seq).await.unwrap() {
        changes.extend(entry.changes);
        seq += 1;
    }
    changes
}

/// Writes a change of a key as a node does that ends before it logs it.
async fn write(scene: &Scene, key: &ApiKey, request: &str) -> ApiKey {
    let mut context = RequestContext::new(Actor::AdminToken, key.modified_at.unwrap());
    context.request_id = RequestId::parse(request).ok();
    let mut stored = StoredKey::new(ApiKey { rev: key.rev + 1, state: KeyState::Disabled, ..key.clone() });
    stored.attribute(&context, key.modified_at.unwrap() + TimeDelta::seconds(1));
    scene.put_text(&name(key), stored.to_bytes()).await;
    stored.key
}

fn of(key: &ApiKey) -> ChangedObject {
    ChangedObject::Key { tenant: key.tenant.clone(), key_id: key.key_id }
}

#[tokio::test]
async fn a_change_that_its_node_did_not_log_is_entered_with_who_asked_for_it_and_one_by_hand_as_such() {
    let scene = Scene::new();
    let keys = scene.fill(4).await;
    let node = scene.started().await;
    let changed = write(&scene, &keys[0], "r-1").await;
    // By hand: the revision and the write id stay, or an older state comes back.
    scene.put(&ApiKey { state: KeyState::Disabled, ..keys[1].clone() }).await;
    scene.put(&ApiKey { rev: 1, state: KeyState::Disabled, ..keys[2].clone() }).await;
    scene.remove(&name(&keys[3])).await;
    let new = ApiKey { modified_by: Some(Actor::AdminToken), ..key(9) };
    scene.put(&new).await;
    node.replica.reconcile().await.unwrap();
    let changes = logged(&scene.bucket).await;
    let find = |key: &ApiKey| changes.iter().filter(|change| change.object == of(key)).collect::<Vec<_>>();
    assert_eq!(changes.len(), 5);
    let found = find(&keys[0])[0];
    assert_eq!((&found.action, &found.by.modified_by), (&Some(AuditAction::KeyUpdate), &Some(Actor::AdminToken)));
    assert_eq!((found.by.request_id, found.changed_at), (RequestId::parse("r-1").ok(), changed.modified_at));
    let (before, after) = (found.difference.before.as_ref().unwrap(), found.difference.after.as_ref().unwrap());
    assert_eq!((&before["state"], &after["state"], after.len()), (&"active".into(), &"disabled".into(), 1));
    let created = find(&new)[0];
    assert_eq!((created.action, &created.by.modified_by), (Some(AuditAction::KeyImport), &Some(Actor::AdminToken)));
    for (key, has_after) in [(&keys[1], true), (&keys[2], true), (&keys[3], false)] {
        let found = find(key)[0];
        assert_eq!((found.action, &found.by.modified_by), (Some(AuditAction::ByHand), &None));
        assert_eq!((found.changed_at, found.difference.after.is_some()), (None, has_after));
        assert!(found.difference.before.is_some() && found.name.is_some());
    }
    node.replica.reconcile().await.unwrap();
    assert_eq!(logged(&scene.bucket).await.len(), 5, "nothing twice");
}

/// Two nodes whose entries wait for the test.
async fn waiting() -> (Scene, Arc<Semaphore>, [Arc<Node>; 2]) {
    let (memory, permits) = (Arc::new(InMemory::new()), Arc::new(Semaphore::new(0)));
    let which = |call: &crate::faults::Call| call.kind == Kind::Create && call.is_about("/log/");
    let faults = Arc::new(Faults::gated(which, permits.clone()));
    let bucket = Bucket::new(Arc::new(Faulty::new(memory.clone(), faults.clone())));
    let scene = Scene { memory, faults, bucket };
    scene.fill(1).await;
    let nodes = [Arc::new(scene.started().await), Arc::new(scene.started().await)];
    (scene, permits, nodes)
}

async fn until_asked(scene: &Scene, count: usize) {
    while scene.faults.count(|call| call.kind == Kind::Create && call.is_about("/log/")) < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_two_nodes_find_at_once_is_entered_once() {
    let (scene, permits, nodes) = waiting().await;
    let new = key(5);
    scene.put(&new).await;
    let changed = key(6);
    scene.put(&changed).await;
    let reconcile = |node: &Arc<Node>| {
        let node = node.clone();
        tokio::spawn(async move { node.replica.reconcile().await.unwrap() })
    };
    let runs = nodes.each_ref().map(reconcile);
    until_asked(&scene, 2).await; // Both have found it, and are about to enter it.
    permits.add_permits(100);
    for run in runs {
        run.await.unwrap();
    }
    let changes = logged(&scene.bucket).await;
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(nodes.iter().all(|node| node.has(&new) && node.has(&changed)));
}

#[tokio::test]
async fn a_node_that_logs_late_what_another_has_found_says_that_it_is_a_repetition() {
    let scene = Scene::new();
    let key = scene.fill(1).await.remove(0);
    let (late, other) = (scene.started().await, scene.started().await);
    let changed = write(&scene, &key, "r-1").await;
    other.replica.reconcile().await.unwrap();
    let log = async |request: &str, action| {
        let mut context = RequestContext::new(Actor::AdminToken, changed.modified_at.unwrap());
        context.request_id = RequestId::parse(request).ok();
        let change = of(&key).by(&context).doing(action).between(Some(&key), Some(&changed));
        late.replica.append(vec![change]).await.unwrap();
        logged(&scene.bucket).await.pop().unwrap()
    };
    let repeated = log("r-1", AuditAction::KeyUpdate).await;
    assert_eq!((repeated.action, repeated.difference.is_empty()), (None, true));
    assert_eq!(repeated.by.request_id, RequestId::parse("r-1").ok());
    // Another request, or another change of the same one, is its own.
    assert_eq!(log("r-2", AuditAction::KeyUpdate).await.action, Some(AuditAction::KeyUpdate));
    assert_eq!(log("r-1", AuditAction::KeyRevoke).await.action, Some(AuditAction::KeyRevoke));
}
