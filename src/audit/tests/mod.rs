//! Pages of the audit: from memory, from the log and from its history.

mod settings;
mod verify;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::{AuditFilter, AuditId, AuditLog, AuditOutcome, AuditScope};
use crate::documents::RequestContext;
use crate::key::{Actor, KeyId, NodeId, TenantId};
use crate::layout::ObjectName;
use crate::store::Bucket;
use crate::sync::history::{self, KeptRange};
use crate::sync::log::{self, LogEntry};
use crate::sync::{AuditAction, ChangedObject};

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// An entry of two changes: one of the tenant of its parity, one of the platform. Written at this hour.
fn entry(seq: u64) -> LogEntry {
    let context = RequestContext::new(if seq.is_multiple_of(3) { Actor::System } else { Actor::AdminToken }, START);
    let owner = tenant(if seq.is_multiple_of(2) { "even" } else { "odd" });
    let key = ChangedObject::Key { tenant: owner, key_id: KeyId::random() }.by(&context);
    let action = if seq.is_multiple_of(5) { AuditAction::KeyRevoke } else { AuditAction::KeyIssue };
    let machine = ChangedObject::Held { kind: "machine".into(), id: KeyId::random().to_string() }.by(&context);
    let changes = vec![key.doing(action).named(format!("k{seq}")), machine];
    let mut entry = LogEntry::new(NodeId::random(), START + TimeDelta::hours(seq as i64), changes);
    entry.seq = Some(seq);
    entry
}

async fn put(bucket: &Bucket, seq: u64, body: impl Into<Bytes>) {
    let _ = bucket.create(&ObjectName::LogEntry { seq }, body.into()).await.unwrap();
}

/// A log of entries up to `end`: those up to 30 in the history, in ranges that overlap, those up to 20 only there, and
/// the last five in memory.
async fn audit(end: u64) -> AuditLog {
    let bucket = Bucket::in_memory();
    let audit = AuditLog::new(bucket.clone());
    for seq in 1..=end {
        let entry = entry(seq);
        put(&bucket, seq, entry.to_bytes()).await;
        if seq + 5 > end {
            audit.note(seq, &entry);
        }
    }
    // Two nodes have kept some of them: one from 1 to 18, the other from 10 to 30.
    history::keep(&bucket, 0, 18).await.unwrap();
    let other = Bucket::in_memory();
    for seq in 10..=30 {
        put(&other, seq, log::stored(&bucket, seq).await.unwrap().unwrap()).await;
    }
    history::keep(&other, 0, 30).await.unwrap();
    let name = ObjectName::HistoryRange { first: 10, last: 30 };
    bucket.put(&name, other.read(&name).await.unwrap().unwrap().body).await.unwrap();
    assert_eq!(log::trim(&bucket, 20, DateTime::<Utc>::MAX_UTC).await.unwrap(), 20);
    audit
}

/// The numbers of all records, page by page.
async fn walked(audit: &AuditLog, scope: &AuditScope, filter: &AuditFilter, end: u64, limit: usize) -> Vec<AuditId> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = audit.page(scope, filter, end, cursor, limit).await.unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items.iter().map(|record| record.audit_id));
        let Some(next) = page.next_cursor else { return found };
        assert!(cursor.is_none_or(|cursor| next < cursor), "{next} after {cursor:?}");
        cursor = Some(next);
    }
}

#[tokio::test]
async fn every_record_is_told_once_the_newest_first_wherever_it_stands_and_however_long_pages_are() {
    let audit = audit(70).await;
    let expected: Vec<AuditId> = (1..=70).rev().flat_map(|seq| [1, 0].map(|index| AuditId { seq, index })).collect();
    for limit in [1, 7, 64, 1000] {
        assert_eq!(walked(&audit, &AuditScope::All, &AuditFilter::default(), 70, limit).await, expected, "{limit}");
    }
    let fresh = AuditLog::new(audit.bucket.clone());
    assert_eq!(walked(&fresh, &AuditScope::All, &AuditFilter::default(), 70, 50).await, expected);
    assert_eq!(fresh.recent.lock().back_from(70, 1000).len(), 50, "what the log has is in memory now");
}

#[tokio::test]
async fn a_page_goes_on_where_the_last_one_ended_while_new_entries_come() {
    let audit = audit(40).await;
    let (scope, filter) = (AuditScope::All, AuditFilter::default());
    let first = audit.page(&scope, &filter, 40, None, 3).await.unwrap();
    for seq in 41..=45 {
        let entry = entry(seq);
        put(&audit.bucket, seq, entry.to_bytes()).await;
        audit.note(seq, &entry);
    }
    let second = audit.page(&scope, &filter, 45, first.next_cursor, 3).await.unwrap();
    let ids = |page: &super::AuditPage| page.items.iter().map(|record| record.audit_id.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (ids(&first), ids(&second)),
        (vec!["40-1".into(), "40-0".into(), "39-1".into()], vec!["39-0".to_string(), "38-1".into(), "38-0".into()])
    );
}

#[tokio::test]
async fn a_tenant_sees_its_own_records_only_and_filters_choose_among_them() {
    let audit = audit(40).await;
    let even = AuditScope::Tenant(tenant("even"));
    let seqs = async |filter: AuditFilter| {
        let found = walked(&audit, &even, &filter, 40, 7).await;
        assert!(found.iter().all(|id| id.index == 0 && id.seq.is_multiple_of(2)), "{found:?}");
        found.iter().map(|id| id.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(AuditFilter::default()).await, (1..=20).rev().map(|half| half * 2).collect::<Vec<_>>());
    let at = |hours| Some(START + TimeDelta::hours(hours));
    assert_eq!(seqs(AuditFilter { from: at(8), to: at(14), ..AuditFilter::default() }).await, [12, 10, 8]);
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(seqs(AuditFilter { action: word("key.revoke"), ..AuditFilter::default() }).await, [40, 30, 20, 10]);
    assert_eq!(seqs(AuditFilter { action: word("key"), from: at(38), ..AuditFilter::default() }).await, [40, 38]);
    assert_eq!(seqs(AuditFilter { actor: word("system"), from: at(30), ..AuditFilter::default() }).await, [36, 30]);
    assert_eq!(seqs(AuditFilter { target: word("k16"), ..AuditFilter::default() }).await, [16]);
    assert_eq!(seqs(AuditFilter { outcome: Some(AuditOutcome::Refused), ..AuditFilter::default() }).await, [0; 0]);
    let nobody = AuditScope::Tenant(tenant("nobody"));
    assert!(walked(&audit, &nobody, &AuditFilter::default(), 40, 5).await.is_empty());
    for (bad, is_bad) in [("key.", true), ("ke", true), ("key.forget", true), ("document.by_hand", false)] {
        assert_eq!(AuditFilter { action: word(bad), ..AuditFilter::default() }.check().is_err(), is_bad, "{bad}");
    }
    assert!(AuditFilter { from: at(2), to: at(1), ..AuditFilter::default() }.check().is_err());
    assert!(AuditFilter { actor: word(&"x".repeat(257)), ..AuditFilter::default() }.check().is_err());
}

#[tokio::test]
async fn what_is_missing_or_broken_is_passed_over_and_no_page_asks_the_store_for_ever() {
    let audit = audit(60).await;
    let bucket = &audit.bucket;
    for seq in [33, 34] {
        bucket.put(&ObjectName::LogEntry { seq }, "no entry".into()).await.unwrap();
    }
    bucket.remove(&ObjectName::LogEntry { seq: 45 }).await.unwrap();
    bucket.put(&ObjectName::HistoryRange { first: 1, last: 18 }, "no range".into()).await.unwrap();
    bucket.remove(&ObjectName::HistoryRange { first: 10, last: 30 }).await.unwrap();
    assert_eq!(history::ranges(bucket, 0).await.unwrap(), [KeptRange { first: 1, last: 18 }]);
    let found = walked(&audit, &AuditScope::All, &AuditFilter::default(), 60, 9).await;
    let mut seqs: Vec<u64> = found.iter().map(|id| id.seq).collect();
    seqs.dedup();
    let expected: Vec<u64> = (21..=60).rev().filter(|seq| ![33, 34, 45].contains(seq)).collect();
    assert_eq!(seqs, expected);
    // 600 entries that do not match take more than one page.
    let bucket = Bucket::in_memory();
    for seq in 1..=600 {
        put(&bucket, seq, entry(seq).to_bytes()).await;
    }
    let (audit, filter) = (AuditLog::new(bucket), AuditFilter { target: Some("k1".into()), ..AuditFilter::default() });
    let page = audit.page(&AuditScope::All, &filter, 600, None, 10).await.unwrap();
    assert!(page.items.is_empty() && page.next_cursor.is_some_and(|next| next.seq > 1), "{page:?}");
    assert_eq!(walked(&audit, &AuditScope::All, &filter, 600, 10).await, [AuditId { seq: 1, index: 0 }]);
}
