//! What entries of the change log hold: as much as a document may, and what was done.

use chrono::DateTime;

use super::Scene;
use crate::documents::{Audited, Difference, Fields, RequestContext};
use crate::faults::{Fault, Kind};
use crate::key::{Actor, KeyId, Label, TenantId};
use crate::sync::log::{self, LogEntry, Slot};
use crate::sync::{Answer, AnswerTarget, AuditAction, AuditOutcome, ChangedObject, LoggedChange};

/// A change as long as one can be.
fn longest() -> LoggedChange {
    let long = "\u{10ffff}".repeat(128);
    let mut context = RequestContext::new(Actor::Named(Label::parse(&long).unwrap()), DateTime::UNIX_EPOCH);
    context.role = Label::parse(&long).ok();
    context.request_id = "r".repeat(48).parse().ok();
    context.route = Some("/api/v1/tenants/{tenant}/service-operators/{id}".to_owned());
    context = context.with_agent(&"\u{10ffff}".repeat(30));
    context.client = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().ok();
    let object = ChangedObject::Key { tenant: TenantId::parse(&"t".repeat(63)).unwrap(), key_id: KeyId::random() };
    object.by(&context).doing(AuditAction::ByHand).named(long)
}

async fn logged(scene: &Scene) -> Vec<LogEntry> {
    let mut entries = Vec::new();
    while let Slot::Taken(entry, _) = log::read(&scene.bucket, entries.len() as u64 + 1).await.unwrap() {
        entries.push(entry);
    }
    entries
}

#[tokio::test]
async fn no_entry_is_larger_than_a_document_and_the_number_is_that_of_the_last() {
    let scene = Scene::new();
    let node = scene.started().await;
    let changes: Vec<_> = (0..LogEntry::MAX_CHANGES).map(|_| longest()).collect();
    let seq = node.replica.append(changes.clone()).await.unwrap();
    let entries = logged(&scene).await;
    assert!(seq > 1 && entries.len() as u64 == seq, "{seq}");
    let all: Vec<_> = entries.into_iter().flat_map(|entry| entry.changes).collect();
    assert_eq!(all, changes);
    let one = node.replica.append(changes[..10].to_vec()).await.unwrap();
    assert_eq!(one, seq + 1, "few share one entry");
}

#[tokio::test]
async fn few_changes_say_what_is_different_and_many_do_not() {
    let scene = Scene::new();
    let node = scene.started().await;
    let view: Fields = (0..100).map(|at| (format!("{at}"), "x".repeat(300).into())).collect();
    let difference = Difference::between(None, Some(&Shown(view)));
    let shown = serde_json::to_vec(&difference).unwrap().len();
    assert!((8_000..13_000).contains(&shown), "{shown}");
    let detailed = |_| LoggedChange { difference: difference.clone(), ..longest() };
    let few: Vec<_> = (0..20).map(detailed).collect();
    assert_eq!(node.replica.append(few.clone()).await.unwrap(), 1, "as many as say it share an entry");
    let many: Vec<_> = (0..21).map(detailed).collect();
    assert_eq!(node.replica.append(many).await.unwrap(), 2);
    let entries = logged(&scene).await;
    assert_eq!(entries[0].changes, few);
    assert_eq!(entries[1].changes.len(), 21);
    assert!(entries[1].changes.iter().all(|change| change.difference.is_empty() && change.action.is_some()));
}

/// A document that shows this.
struct Shown(Fields);

impl Audited for Shown {
    fn audited(&self) -> Fields {
        self.0.clone()
    }
}

#[tokio::test]
async fn what_was_done_in_an_outage_is_not_hidden_by_its_repetition() {
    let scene = Scene::new();
    let node = scene.started().await;
    let object = ChangedObject::Key { tenant: TenantId::default(), key_id: KeyId::random() };
    let change = |action| {
        let context = RequestContext::new(Actor::AdminToken, DateTime::UNIX_EPOCH);
        vec![object.clone().by(&context).doing(action)]
    };
    scene.fail(Kind::Create, "/log/");
    for action in [Some(AuditAction::KeyUpdate), Some(AuditAction::KeyRevoke), None] {
        assert!(node.replica.append(change(action)).await.is_err());
    }
    scene.faults.none();
    node.replica.log_remaining().await.unwrap();
    let actions: Vec<_> = logged(&scene).await.into_iter().flat_map(|entry| entry.changes).collect();
    assert_eq!(actions.iter().map(|change| change.action).collect::<Vec<_>>(), [Some(AuditAction::KeyRevoke)]);
}

#[tokio::test]
async fn what_was_logged_without_the_node_learning_it_is_logged_once() {
    let scene = Scene::new();
    let node = scene.started().await;
    let context = RequestContext::new(Actor::AdminToken, DateTime::UNIX_EPOCH).with_request_id("r-1".parse().unwrap());
    let object = ChangedObject::Key { tenant: TenantId::default(), key_id: KeyId::random() };
    let target = AnswerTarget { kind: "platform".into(), tenant: None, id: "platform".into() };
    let answer = Answer { outcome: AuditOutcome::Refused, status: 401, code: None, target, count: 1 };
    // The entry is stored, and neither the answer nor a look at it arrives.
    scene.faults.inject(Fault::ErrorAfter, |call| call.is_about("/log/"));
    let change = object.by(&context).doing(AuditAction::KeyRevoke);
    assert!(node.replica.append(vec![change.clone(), LoggedChange::of_request(answer, &context, None)]).await.is_err());
    scene.faults.none();
    node.replica.log_remaining().await.unwrap();
    let all: Vec<_> = logged(&scene).await.into_iter().flat_map(|entry| entry.changes).collect();
    assert_eq!(all.iter().filter(|logged| logged.answer.is_some()).count(), 1, "{all:?}");
    let done = all.iter().filter(|logged| logged.action == Some(AuditAction::KeyRevoke));
    assert_eq!(done.count(), 1, "{all:?}");
    assert_eq!(all.len(), 3, "the change is repeated, without an action: {all:?}");
    node.replica.log_remaining().await.unwrap();
}
