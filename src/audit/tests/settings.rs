//! Changes of the settings of streams that their node did not log.

use std::sync::Arc;

use super::{START, tenant};
use crate::audit::{AuditFilter, AuditLog, AuditScope, Record};
use crate::clock::ManualClock;
use crate::documents::{Difference, RequestContext};
use crate::key::{Actor, RequestId, RetentionDays, StreamName, TenantId};
use crate::keystore::Keystore;
use crate::store::Bucket;
use crate::stream::{StreamCatalog, StreamSettings, UnloggedChange};
use crate::sync::AuditAction;
use chrono::TimeDelta;

struct Node {
    catalog: StreamCatalog,
    keystore: Keystore,
    audit: AuditLog,
    clock: Arc<ManualClock>,
}

fn web() -> (TenantId, StreamName) {
    (tenant("acme"), StreamName::parse("web").unwrap())
}

impl Node {
    async fn over(bucket: &Bucket) -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let keystore = Keystore::new(bucket.clone(), Arc::default(), clock.clone());
        let audit = AuditLog::new(bucket.clone());
        audit.listen(keystore.replica());
        keystore.sync().await.unwrap();
        Self { catalog: StreamCatalog::new(bucket.clone()), keystore, audit, clock }
    }

    /// Writes the settings, and says nothing in the log.
    async fn keep_for(&self, days: u32, request: &str) -> UnloggedChange {
        let (tenant, stream) = web();
        let request_id = Some(request.parse::<RequestId>().unwrap());
        let context = RequestContext { request_id, ..RequestContext::new(Actor::AdminToken, START) };
        let days = Some(RetentionDays::try_from(days).unwrap());
        let change = |settings: &mut StreamSettings| settings.retention_days = days;
        self.catalog.change_settings(&context, &tenant, &stream, change).await.unwrap().1.unwrap()
    }

    async fn log(&self, made: UnloggedChange, request: &str) {
        let (tenant, stream) = web();
        let request_id = Some(request.parse::<RequestId>().unwrap());
        let context = RequestContext { request_id, ..RequestContext::new(Actor::AdminToken, START) };
        let action = Some(AuditAction::StreamUpdate);
        self.keystore.announce_settings(&context, tenant, stream, action, made.difference).await.unwrap();
    }

    async fn look(&self) {
        self.catalog.sync().await.unwrap();
        self.audit.enter_settings(&self.catalog, &self.keystore).await.unwrap();
    }

    fn waiting(&self) -> usize {
        self.catalog.unlogged(START + TimeDelta::days(1)).len()
    }

    async fn records(&self) -> Vec<Record> {
        self.keystore.sync().await.unwrap();
        let end = self.keystore.replica().log_end();
        self.audit.page(&AuditScope::All, &AuditFilter::default(), end, None, 100).await.unwrap().items
    }
}

#[tokio::test]
async fn settings_whose_node_ended_before_it_logged_them_are_entered_once_by_the_nodes_that_are_left() {
    let bucket = Bucket::in_memory();
    let dead = Node::over(&bucket).await;
    dead.keep_for(30, "r-first").await;
    dead.keep_for(7, "r-second").await;
    let (a, b) = (Node::over(&bucket).await, Node::over(&bucket).await);
    a.look().await;
    assert!(a.records().await.is_empty(), "the node that made them may be about to log them");
    for node in [&a, &b] {
        node.clock.advance(TimeDelta::minutes(2));
    }
    tokio::join!(a.look(), b.look());
    // One whose object the other has named meanwhile is entered by the next look.
    a.look().await;
    b.look().await;
    for node in [&a, &b] {
        let records = node.records().await;
        let told: Vec<_> = records
            .iter()
            .map(|record| {
                assert_eq!((record.action, record.at), (Some(AuditAction::StreamUpdate), START));
                let days = |fields: &Option<_>| {
                    fields.as_ref().map(|fields: &crate::documents::Fields| fields["retentionDays"].clone())
                };
                (record.request.id.map(|id| id.to_string()), days(&record.before), days(&record.after))
            })
            .collect();
        let mut told = told;
        told.sort_by_key(|(id, ..)| id.clone());
        let expected = [("r-first", None, 30), ("r-second", Some(30.into()), 7)];
        let expected = expected.map(|(id, before, after)| (Some(id.to_owned()), before, Some(after.into())));
        assert_eq!(told, expected);
        node.catalog.sync().await.unwrap();
        assert_eq!(node.waiting(), 0);
    }
}

#[tokio::test]
async fn what_the_node_itself_has_logged_is_not_entered_again_and_no_longer_kept() {
    let bucket = Bucket::in_memory();
    let node = Node::over(&bucket).await;
    let made = node.keep_for(30, "r-1").await;
    node.log(made, "r-1").await; // And ends before it notes that.
    let other = Node::over(&bucket).await;
    other.clock.advance(TimeDelta::minutes(2));
    other.catalog.sync().await.unwrap();
    assert_eq!(other.waiting(), 1);
    other.look().await;
    assert_eq!((other.records().await.len(), other.waiting()), (1, 0));
}

#[tokio::test]
async fn what_a_node_logs_after_another_has_found_it_says_that_nothing_was_done() {
    let bucket = Bucket::in_memory();
    let slow = Node::over(&bucket).await;
    let made = slow.keep_for(30, "r-1").await;
    let other = Node::over(&bucket).await;
    other.clock.advance(TimeDelta::minutes(2));
    other.look().await;
    slow.log(made, "r-1").await;
    let told: Vec<_> = other.records().await.iter().map(|record| (record.action, record.after.is_some())).collect();
    assert_eq!(told, [(None, false), (Some(AuditAction::StreamUpdate), true)]);
}

#[tokio::test]
async fn a_deletion_keeps_what_is_to_be_logged_and_a_change_of_nothing_adds_nothing() {
    let bucket = Bucket::in_memory();
    let node = Node::over(&bucket).await;
    let (tenant, stream) = web();
    let context = RequestContext::new(Actor::AdminToken, START);
    let made = node.keep_for(30, "r-1").await;
    assert_ne!(made.difference, Difference::default());
    let (_, again) = node.catalog.change_settings(&context, &tenant, &stream, |_| {}).await.unwrap();
    assert_eq!(again, None);
    node.catalog.begin_deletion(&context, &tenant, &stream, &[]).await.unwrap().unwrap();
    assert_eq!(node.waiting(), 1);
    node.clock.advance(TimeDelta::minutes(2));
    node.look().await;
    assert_eq!((node.records().await.len(), node.waiting()), (1, 0));
}
