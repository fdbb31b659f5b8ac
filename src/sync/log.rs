//! The change log: numbered entries in the bucket, each written once, one number after the other. Who creates number
//! `n` has seen all before it, so a reader needs to ask for one name only: the next.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use relative_path::RelativePath;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::LoggedChange;
use super::chain::EntryHash;
use crate::documents::Difference;
use crate::error::{ErrorKind, Result};
use crate::key::NodeId;
use crate::key::actor::lenient;
use crate::layout::{self, ObjectName};
use crate::store::{Bucket, Listed};

const VERSION: u32 = 1;
/// How many entries are removed at once.
const REMOVALS: usize = 16;

/// An entry: what one node wrote in one go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    version: u32,
    /// Who wrote it.
    pub node_id: NodeId,
    /// When, by the clock of that node.
    pub at: DateTime<Utc>,
    /// What was written before it.
    pub changes: Vec<LoggedChange>,
    /// The entry before it; nothing in the first one, and in those of older versions.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub previous: Option<EntryHash>,
    /// Its number, as its name says it; nothing in entries of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Unique, so that a writer can tell its own entry from another's.
    write_id: Uuid,
}

impl LogEntry {
    /// The most changes in one entry; more take several.
    pub const MAX_CHANGES: usize = 1000;

    /// The most bytes of changes in one entry, unless one change alone has more. An entry is a document: no node reads
    /// a larger one.
    pub(super) const MAX_BYTES: usize = 768 * 1024;

    /// An entry that is about to be written.
    #[allow(clippy::disallowed_methods)]
    pub fn new(node_id: NodeId, at: DateTime<Utc>, changes: Vec<LoggedChange>) -> Self {
        Self { version: VERSION, node_id, at, changes, previous: None, seq: None, write_id: Uuid::new_v4() }
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads an entry; `None` when it is none, or of a version that is not understood.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|entry: &Self| entry.version == VERSION)
    }
}

/// What was asked for together is work on many objects if it is more than this.
pub const MAX_DETAILED: usize = 20;

/// The same changes; without what is different, if they are work on many objects.
pub(super) fn compact(mut changes: Vec<LoggedChange>) -> Vec<LoggedChange> {
    if changes.len() > MAX_DETAILED {
        changes.iter_mut().for_each(|change| change.difference = Difference::default());
    }
    changes
}

/// The same change, as one of many if so many come before it.
pub(super) fn compact_after(count: usize, change: LoggedChange) -> LoggedChange {
    if count < MAX_DETAILED { change } else { LoggedChange { difference: Difference::default(), ..change } }
}

/// Changes that fit into one entry, and how much of it they take.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) changes: Vec<LoggedChange>,
    pub(super) bytes: usize,
}

/// Changes in as many parts as they need entries, in their order; at least one.
pub(super) fn split(changes: Vec<LoggedChange>) -> Vec<Part> {
    let (mut parts, mut part) = (Vec::new(), Part::default());
    for change in changes {
        let bytes = serde_json::to_vec(&change).map_or(0, |text| text.len() + 1);
        let is_full = part.changes.len() == LogEntry::MAX_CHANGES || part.bytes + bytes > LogEntry::MAX_BYTES;
        if is_full && !part.changes.is_empty() {
            parts.push(std::mem::take(&mut part));
        }
        part.changes.push(change);
        part.bytes += bytes;
    }
    parts.push(part);
    parts
}

/// No log reaches this number; a higher one was written by hand.
pub const MAX_SEQ: u64 = 1 << 53;

/// What stands at a number.
#[derive(Debug)]
pub enum Slot {
    /// Nothing, so far.
    Free,
    /// An entry.
    Taken(LogEntry, EntryHash),
    /// Something that was broken by hand, or written by a later version: which objects it changed is not known. What
    /// is no document at all has no hash.
    Unreadable(Option<EntryHash>),
}

impl Slot {
    fn of(stored: &[u8]) -> Self {
        let hash = EntryHash::of(stored);
        match LogEntry::parse(stored) {
            Some(entry) => Self::Taken(entry, hash),
            None => Self::Unreadable(Some(hash)),
        }
    }

    /// The hash of what stands there.
    pub fn hash(&self) -> Option<EntryHash> {
        match self {
            Self::Free => None,
            Self::Taken(_, hash) => Some(*hash),
            Self::Unreadable(hash) => *hash,
        }
    }
}

/// Reads what stands at a number.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn read(bucket: &Bucket, seq: u64) -> Result<Slot> {
    match bucket.read(&ObjectName::LogEntry { seq }).await {
        Ok(None) => Ok(Slot::Free),
        Ok(Some(stored)) => Ok(Slot::of(&stored.body)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Slot::Unreadable(None)),
        Err(error) => Err(error),
    }
}

/// The bytes at a number; `None` when nothing is there, or no document.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn stored(bucket: &Bucket, seq: u64) -> Result<Option<Bytes>> {
    match bucket.read(&ObjectName::LogEntry { seq }).await {
        Ok(found) => Ok(found.map(|stored| stored.body)),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last number of the unbroken sequence after `known`; if `known` is 0, of the first sequence. An entry after a gap
/// was written by hand and is ignored. Costs one listing, so do not call it every second.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn head(bucket: &Bucket, known: u64) -> Result<u64> {
    let listed = bucket.list_after(&layout::log(), &ObjectName::LogEntry { seq: known }).await?;
    let mut numbers: Vec<u64> = listed.iter().filter_map(seq).filter(|seq| *seq <= MAX_SEQ).collect();
    numbers.sort_unstable();
    let mut head = match numbers.first() {
        Some(first) if known == 0 => first.saturating_sub(1), // What came before was trimmed.
        _ => known,
    };
    for number in numbers.into_iter().filter(|number| *number > known) {
        if number != head + 1 {
            tracing::warn!(number, head, "an entry of the change log follows a gap and is ignored");
            break;
        }
        head = number;
    }
    Ok(head)
}

/// The numbers of all entries, in their order.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn numbers(bucket: &Bucket) -> Result<Vec<u64>> {
    let mut numbers: Vec<u64> = bucket.list(&layout::log()).await?.iter().filter_map(seq).collect();
    numbers.retain(|seq| *seq <= MAX_SEQ);
    numbers.sort_unstable();
    Ok(numbers)
}

/// The number of the first entry after `end`. Costs one listing, so do not call it every second.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn first_after(bucket: &Bucket, end: u64) -> Result<Option<u64>> {
    let listed = bucket.list_after(&layout::log(), &ObjectName::LogEntry { seq: end }).await?;
    Ok(listed.iter().filter_map(seq).filter(|seq| (end + 1..=MAX_SEQ).contains(seq)).min())
}

/// Removes the entries up to `last` that were written before `before`, by the clock of the store.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer; what is left is removed another time.
pub async fn trim(bucket: &Bucket, last: u64, before: DateTime<Utc>) -> Result<usize> {
    let old = |listed: &Listed| seq(listed).filter(|seq| *seq <= last && listed.written_at < before);
    let old: Vec<u64> = bucket.list(&layout::log()).await?.iter().filter_map(old).collect();
    let removals =
        stream::iter(old.clone()).map(|seq| async move { bucket.remove(&ObjectName::LogEntry { seq }).await }.boxed());
    removals.buffer_unordered(REMOVALS).try_collect::<()>().await?;
    Ok(old.len())
}

fn seq(listed: &Listed) -> Option<u64> {
    match ObjectName::parse(RelativePath::new(listed.path.as_str()))? {
        ObjectName::LogEntry { seq } => Some(seq),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Actor, Label, RequestId};
    use crate::sync::{AuditAction, AuditOutcome, ChangedObject};

    #[test]
    fn golden_entries_parse_for_ever_and_are_written_as_they_were_read() {
        let golden = include_str!("../../fixtures/log/v1/entry.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        assert_eq!(entry.changes.len(), 3);
        assert!(matches!(entry.changes[0].object, ChangedObject::Key { .. }));
        assert!(matches!(entry.changes[1].object, ChangedObject::Tenant { .. }));
        assert!(matches!(entry.changes[2].object, ChangedObject::Stream { .. }));
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden.trim_end());
        assert!(LogEntry::parse(golden.replace("\"version\":1", "\"version\":2").as_bytes()).is_none());
    }

    #[test]
    fn an_entry_says_who_made_each_change_and_by_which_request() {
        let golden = include_str!("../../fixtures/log/v1/attributed.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        let by: Vec<_> = entry.changes.iter().map(|change| change.by.modified_by.clone()).collect();
        assert_eq!(by, [Some(Actor::AdminToken), Some(Actor::System), None]);
        assert_eq!(entry.changes[0].by.request_id, RequestId::parse("7d0e6c1a-52b3-4f0d-9a64-0c2b1e8f7a95").ok());
        assert!(matches!(entry.changes[1].object, ChangedObject::Tenant { .. }));
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden.trim_end());
    }

    #[test]
    fn an_entry_says_from_which_address_and_one_that_is_none_is_not_known() {
        let golden = include_str!("../../fixtures/log/v1/from-an-address.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        let clients: Vec<_> = entry.changes.iter().map(|change| change.client).collect();
        assert_eq!(clients, ["203.0.113.7".parse().ok(), "2001:db8::7".parse().ok(), None]);
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden.trim_end());
        let odd = golden.replace("\"203.0.113.7\"", "{\"ip\":7}").replace("2001:db8::7", "a proxy");
        let odd = LogEntry::parse(odd.as_bytes()).unwrap();
        assert!(odd.changes.iter().all(|change| change.client.is_none()));
    }

    #[test]
    fn an_entry_says_what_was_done_and_names_the_one_before_it() {
        let golden = include_str!("../../fixtures/log/v1/audited.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        let done: Vec<_> = entry.changes.iter().map(|change| (change.action, change.name.as_deref())).collect();
        let expected = [
            (Some(AuditAction::KeyRevoke), Some("checkout")),
            (Some(AuditAction::MachineCreate), Some("ci")),
            (Some(AuditAction::ByHand), None),
        ];
        assert_eq!(done, expected);
        let roles = entry.changes.iter().map(|change| change.role.as_ref().map(Label::as_str));
        assert_eq!(roles.collect::<Vec<_>>(), [None, Some("platform_admin"), None]);
        assert_eq!((entry.previous, entry.seq), (Some(EntryHash::of(b"abc")), Some(7)));
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden.trim_end());
        let later = golden.replace("key.revoke", "key.forget").replace("\"checkout\"", "7").replace("sha256:b", "b");
        let later = LogEntry::parse(later.as_bytes()).unwrap();
        let first = &later.changes[0];
        assert_eq!((first.action, &first.name, later.previous), (None, &None, None), "of a later version");
    }

    #[test]
    fn an_entry_says_what_is_different_and_by_which_route_and_a_node_that_does_not_know_that_reads_the_rest() {
        let golden = include_str!("../../fixtures/log/v1/detailed.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        let (update, removal) = (&entry.changes[0], &entry.changes[1]);
        assert_eq!(update.route.as_deref(), Some("PATCH /api/v1/tenants/{tenant}/apikeys/{id}"));
        assert_eq!(update.agent.as_deref(), Some("curl/8.5.0"));
        let Difference { before, after } = &update.difference;
        assert_eq!(before.as_ref().unwrap()["state"], "active");
        assert_eq!(after.as_ref().unwrap()["sourceId"], "till-7");
        assert_eq!((removal.difference.before.is_some(), &removal.difference.after), (true, &None));
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden.trim_end());
        /// What earlier versions read of a change.
        #[derive(Debug, PartialEq, Deserialize)]
        struct Earlier {
            #[serde(flatten)]
            object: ChangedObject,
            #[serde(flatten)]
            by: crate::key::Attribution,
            #[serde(default, deserialize_with = "lenient")]
            action: Option<AuditAction>,
        }
        for change in &entry.changes {
            let earlier: Earlier = serde_json::from_value(serde_json::to_value(change).unwrap()).unwrap();
            assert_eq!((earlier.object, earlier.by), (change.object.clone(), change.by.clone()));
            assert_eq!(earlier.action, change.action);
        }
        let odd = golden.replace("\"curl/8.5.0\"", "[1]").replace("{\"sourceId\":null,\"state\":\"active\"}", "7");
        let odd = LogEntry::parse(odd.as_bytes()).unwrap();
        assert_eq!((&odd.changes[0].agent, &odd.changes[0].difference.before), (&None, &None));
    }

    #[test]
    fn an_entry_tells_requests_that_changed_nothing_and_what_is_broken_of_one_is_not_known() {
        let golden = include_str!("../../fixtures/log/v1/requests.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        let answers: Vec<_> = entry.changes.iter().filter_map(|change| change.answer.as_ref()).collect();
        assert_eq!((answers[0].status, answers[0].outcome, answers[1].count), (403, AuditOutcome::Refused, 512));
        assert_eq!(answers[0].target.tenant, crate::key::TenantId::parse("acme").ok());
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden.trim_end());
        let odd = golden.replacen("\"refused\"", "\"postponed\"", 1).replacen("512", "-1", 1);
        let odd = LogEntry::parse(odd.as_bytes()).unwrap();
        assert!(odd.changes.iter().all(|change| change.answer.is_none() && change.object.is_request()));
    }

    #[test]
    fn an_entry_names_kinds_that_only_later_versions_know_and_the_other_changes_are_read() {
        let golden = include_str!("../../fixtures/log/v1/unknown-kinds.json");
        let entry = LogEntry::parse(golden.as_bytes()).unwrap();
        let kind = |change: &crate::sync::LoggedChange| match &change.object {
            ChangedObject::Held { kind, .. } => kind.clone(),
            ChangedObject::Key { .. } => "(key)".to_owned(),
            ChangedObject::Tenant { .. } => "(tenant)".to_owned(),
            ChangedObject::Stream { .. } => "(stream)".to_owned(),
        };
        let kinds: Vec<_> = entry.changes.iter().map(kind).collect();
        assert_eq!(kinds, ["membership", "policySet", "action", "(key)", "(tenant)", "(stream)"]);
        assert_eq!(entry.changes[0].by.modified_by, Some(Actor::AdminToken));
        assert_eq!(entry.changes[1].by.modified_by, None, "an actor that only a later version knows");
        let broken = golden.replace("\"kind\":\"membership\"", "\"kind\":7");
        assert!(LogEntry::parse(broken.as_bytes()).is_none(), "broken by hand: a full reconcile is needed");
    }

    #[tokio::test]
    async fn the_head_is_the_highest_number_there_is() {
        let bucket = Bucket::in_memory();
        assert_eq!(head(&bucket, 0).await.unwrap(), 0);
        assert_eq!(head(&bucket, 7).await.unwrap(), 7);
        for seq in 1..=12 {
            let entry = LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, Vec::new());
            let _ = bucket.create(&ObjectName::LogEntry { seq }, entry.to_bytes()).await.unwrap();
        }
        assert_eq!((head(&bucket, 0).await.unwrap(), head(&bucket, 9).await.unwrap()), (12, 12));
        for stray in [14, 99_999_999, u64::MAX] {
            let _ = bucket.create(&ObjectName::LogEntry { seq: stray }, "x".into()).await.unwrap();
        }
        assert_eq!((head(&bucket, 0).await.unwrap(), head(&bucket, 12).await.unwrap()), (12, 12), "beyond a gap");
        let later = DateTime::<Utc>::MAX_UTC;
        assert_eq!(trim(&bucket, 10, later).await.unwrap(), 10);
        assert_eq!(trim(&bucket, 12, DateTime::UNIX_EPOCH).await.unwrap(), 0);
        assert!(matches!(read(&bucket, 10).await.unwrap(), Slot::Free));
        assert!(matches!(read(&bucket, 11).await.unwrap(), Slot::Taken(..)));
    }
}
