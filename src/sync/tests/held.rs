//! Documents of other kinds than keys and tenants: from the bucket to memory, by the log, by snapshots, by full
//! reconciles.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::snapshot::{MANY, objects};
use super::{Node, Scene};
use crate::documents::audited::fields;
use crate::documents::{Audited, Document, Fields, Unreadable};
use crate::error::Result;
use crate::faults::Kind;
use crate::key::{MachineId, TenantId};
use crate::layout::{self, ObjectName};
use crate::store::Bucket;
use crate::sync::held::KindListing;
use crate::sync::{ChangedObject, Held, HeldDocuments, HeldKind};

/// A document for these tests, in the place of one that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

impl Document for Note {
    type Id = MachineId;

    const NAME: &'static str = "the note";

    fn object(id: &MachineId) -> ObjectName {
        ObjectName::PlatformMachine { id: *id }
    }

    fn parse(_: &MachineId, body: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(body).map_err(|_| Unreadable::Field("text"))
    }

    fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap().into()
    }
}

impl Audited for Note {
    fn audited(&self) -> Fields {
        fields(json!({"text": self.text}))
    }
}

#[async_trait]
impl HeldKind for Note {
    const KIND: &'static str = "note";

    fn tenant(_: &MachineId) -> TenantId {
        TenantId::default()
    }

    fn hashes(&self) -> Vec<u64> {
        vec![self.text.len() as u64]
    }

    fn conflict(&self, other: &Self) -> Option<&'static str> {
        (self.text == "shared" && self == other).then_some("it is also that of another note")
    }

    async fn list(bucket: &Bucket, _: &[TenantId]) -> Result<KindListing<MachineId>> {
        let folder = (TenantId::default(), layout::machines(None));
        let id = |object| if let ObjectName::PlatformMachine { id } = object { Some(id) } else { None };
        KindListing::of(bucket, [folder], id).await
    }
}

impl Scene {
    fn holder(&self) -> (Node, Arc<Held<Note>>) {
        let held = Arc::new(Held::<Note>::new(self.bucket.clone()));
        let kinds: Vec<Arc<dyn HeldDocuments>> = vec![held.clone()];
        (self.node_with(kinds), held)
    }

    async fn note(&self, id: MachineId, text: &str) {
        let body = Note { text: text.to_owned() }.to_bytes();
        self.put_text(&ObjectName::PlatformMachine { id }, body).await;
    }
}

fn text(held: &Held<Note>, id: MachineId) -> Option<String> {
    held.get(&id).map(|note| note.text.clone())
}

async fn log(node: &Node, id: MachineId) {
    let change = Note::changed(&id).by_unknown();
    node.replica.append(vec![change]).await.unwrap();
}

#[tokio::test]
async fn a_change_reaches_other_nodes_by_the_log_and_a_start_by_the_snapshot() {
    let scene = Scene::new();
    scene.fill(3).await;
    let ((a, _), (b, of_b)) = (scene.holder(), scene.holder());
    a.replica.reconcile().await.unwrap();
    b.replica.reconcile().await.unwrap();
    let (first, second) = (MachineId::random(), MachineId::random());
    for (id, words) in [(first, "one"), (second, "three")] {
        scene.note(id, words).await;
        log(&a, id).await;
    }
    assert_eq!(text(&of_b, first), None);
    assert!(b.replica.poll().await.unwrap());
    assert_eq!((text(&of_b, first).unwrap(), text(&of_b, second).unwrap()), ("one".into(), "three".into()));
    assert_eq!(of_b.find(3).len(), 1);
    // What changed by number is found by the new number only.
    scene.note(first, "seven").await;
    log(&a, first).await;
    b.replica.poll().await.unwrap();
    assert_eq!((of_b.find(3).len(), of_b.find(5).len(), of_b.all().len()), (0, 2, 2));
    assert_eq!(b.replica.unknown_changes(), 0);
}

#[tokio::test]
async fn a_snapshot_holds_what_can_be_used_and_one_without_the_kind_is_completed() {
    let scene = Scene::new();
    scene.fill(MANY).await;
    let ids = [(); 3].map(|()| MachineId::random());
    for id in ids {
        scene.note(id, "kept").await;
    }
    let (node, held) = scene.holder();
    node.replica.reconcile().await.unwrap();
    scene.put_text(&ObjectName::PlatformMachine { id: ids[0] }, "{}").await;
    node.replica.reconcile().await.unwrap();
    assert_eq!(text(&held, ids[0]).unwrap(), "kept", "a broken document takes nothing away");
    let object = ObjectName::PlatformMachine { id: ids[0] }.path().into_string();
    assert_eq!(node.replica.unreadable().keys().collect::<Vec<_>>(), [&(TenantId::default(), object)]);
    assert!(node.replica.compact().await.unwrap());
    let (started, held) = scene.holder();
    scene.fail(Kind::List, "service_operators");
    started.replica.load().await.unwrap();
    assert_eq!(ids.map(|id| text(&held, id)), [None, Some("kept".to_owned()), Some("kept".to_owned())]);
    scene.faults.none();
    // Of a node that does not know the kind.
    for name in objects(&scene).await {
        scene.remove(&name).await;
    }
    assert!(scene.started().await.replica.compact().await.unwrap());
    let (started, held) = scene.holder();
    started.replica.load().await.unwrap();
    assert_eq!(held.all().len(), 2);
}

#[tokio::test]
async fn what_was_changed_by_hand_is_found_read_once_and_logged() {
    let scene = Scene::new();
    scene.fill(1).await;
    let (here, there) = (scene.holder(), scene.holder());
    let ids = [(); 2].map(|()| MachineId::random());
    scene.note(ids[0], "old").await;
    for (node, _) in [&here, &there] {
        node.replica.reconcile().await.unwrap();
    }
    scene.remove(&ObjectName::PlatformMachine { id: ids[0] }).await;
    scene.note(ids[1], "new").await;
    here.0.replica.reconcile().await.unwrap();
    assert_eq!((text(&here.1, ids[0]), text(&here.1, ids[1]).unwrap()), (None, "new".to_owned()));
    let (_, gets, _) = scene.asked(here.0.replica.reconcile()).await;
    let (_, fewer, _) = scene.asked(here.0.replica.reconcile()).await;
    assert_eq!(gets, fewer, "nothing is read again that is listed in the same state");
    there.0.replica.poll().await.unwrap();
    assert_eq!((text(&there.1, ids[0]), text(&there.1, ids[1]).unwrap()), (None, "new".to_owned()));
}

#[tokio::test]
async fn a_document_that_was_removed_does_not_come_back_with_an_older_read() {
    let scene = Scene::new();
    let (node, held) = scene.holder();
    let id = MachineId::random();
    scene.note(id, "here").await;
    node.replica.reconcile().await.unwrap();
    let before = held.before(&id);
    let read = held.documents().read(&id).await.unwrap();
    scene.remove(&ObjectName::PlatformMachine { id }).await;
    held.forget(&id);
    assert_eq!(held.take_in_read(&id, &before, read, false), None);
    held.put(&id, Note { text: "written before".into() }, &before);
    assert_eq!(text(&held, id), None);
    let (before, read) = (held.before(&id), held.documents().read(&id).await.unwrap());
    assert_eq!(held.take_in_read(&id, &before, read, false), Some(false));
    assert_eq!(text(&held, id), None);
}

#[tokio::test]
async fn an_entry_that_names_no_document_of_a_known_kind_is_passed_over() {
    let scene = Scene::new();
    scene.fill(1).await;
    let (node, _) = scene.holder();
    node.replica.reconcile().await.unwrap();
    let odd = ChangedObject::Held { kind: "note".to_owned(), id: "../x".to_owned() };
    let other = scene.started().await;
    other.replica.append(vec![odd.by_unknown()]).await.unwrap();
    assert!(node.replica.poll().await.unwrap());
}

#[tokio::test]
async fn documents_that_conflict_are_reported_until_one_is_left() {
    let scene = Scene::new();
    let (node, _) = scene.holder();
    let ids = [(); 3].map(|()| MachineId::random());
    for (id, words) in ids.into_iter().zip(["shared", "shared", "chance"]) {
        scene.note(id, words).await;
    }
    assert_eq!(node.replica.reconcile().await.unwrap().unreadable, 2, "the third has the same hash only");
    scene.remove(&ObjectName::PlatformMachine { id: ids[0] }).await;
    assert_eq!(node.replica.reconcile().await.unwrap().unreadable, 0);
}
