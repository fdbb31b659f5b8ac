//! Whether the change log and its history are what was written: every entry names the one before it.

use std::collections::{BTreeMap, HashMap};

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use crate::error::{ErrorKind, Result};
use crate::store::Bucket;
use crate::sync::chain::EntryHash;
use crate::sync::history::{self, KeptEntry, KeptRange};
use crate::sync::log::{self, LogEntry};
use crate::sync::node;

/// How many entries of the log are read at once.
const READS: usize = 16;
/// So many findings are listed.
const MAX_FINDINGS: usize = 100;

/// What was checked, and what is wrong.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The number of the first entry there is; 0 without any.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// The hash of the last one: to be compared with what was noted elsewhere.
    pub head: Option<EntryHash>,
    /// How many entries there are.
    pub entries: u64,
    /// How many name no entry before them: the first one ever, and those that earlier versions of Keyloft have written.
    pub unchained: u64,
    /// Entries that no node reads: a node that had slept has written them where the log was trimmed, and then again at
    /// its end. The next trimming removes them.
    pub strays: Vec<u64>,
    /// What is wrong, at most a hundred of it.
    pub findings: Vec<Finding>,
    /// What nodes have seen last.
    #[serde(skip)]
    seen: HashMap<u64, EntryHash>,
}

/// Something that is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The number of the entry.
    pub seq: u64,
    /// What is wrong.
    pub reason: String,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, seq: u64, reason: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { seq, reason: reason.into() });
        }
    }

    /// Takes in the next entry.
    fn take(&mut self, seq: u64, entry: &Entry) {
        if self.entries == 0 {
            self.first = seq;
        } else if seq == self.last + 2 {
            self.find(seq - 1, "it is missing");
        } else if seq > self.last + 2 {
            self.find(self.last + 1, format!("it is missing, and all up to {}", seq - 1));
        }
        if !entry.is_readable {
            self.find(seq, "it cannot be read");
        }
        if let Some(says) = entry.says.filter(|says| *says != seq) {
            self.find(seq, format!("it says that it is entry {says}"));
        }
        if self.seen.get(&seq).is_some_and(|seen| *seen != entry.hash) {
            self.find(seq, "it is not what a node has seen");
        }
        match entry.previous {
            // What came before the first entry there is was removed when its time was over.
            Some(previous) if self.last + 1 == seq && self.head.is_some_and(|head| head != previous) => {
                self.find(self.last, format!("it is not what the next one names: that has {previous}"));
            }
            Some(_) => {}
            None => self.unchained += 1,
        }
        (self.last, self.head, self.entries) = (seq, Some(entry.hash), self.entries + 1);
    }
}

/// What counts of an entry.
struct Entry {
    hash: EntryHash,
    is_readable: bool,
    previous: Option<EntryHash>,
    /// The number that it says it has.
    says: Option<u64>,
}

impl Entry {
    fn of(stored: &[u8]) -> Self {
        let (hash, entry) = (EntryHash::of(stored), LogEntry::parse(stored));
        let (previous, says) = entry.as_ref().map_or((None, None), |entry| (entry.previous, entry.seq));
        Self { hash, is_readable: entry.is_some(), previous, says }
    }
}

/// Reads the history and the log, and checks that each entry is the one that the next names, that none is missing, and
/// that the two say the same. Takes one request for each entry of the log.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the store does not answer.
pub async fn verify(bucket: &Bucket) -> Result<Verification> {
    let mut found = Verification::default();
    // Before the log: what nodes have seen by now, it has.
    let heads = node::heads(bucket).await?;
    found.seen = heads.iter().map(|(_, head)| (head.seq, head.hash)).collect();
    // The log first: what is trimmed meanwhile is in the history already.
    let mut log = read_log(bucket, &mut found).await?;
    // What stands before a gap, and is in the history too, was written after the log was trimmed there.
    let numbers: Vec<u64> = log.keys().copied().collect();
    let gap = numbers.windows(2).rev().find(|pair| pair[1] != pair[0] + 1).map_or(0, |pair| pair[0]);
    for range in history::ranges(bucket, 0).await? {
        for KeptEntry { seq, stored } in read_range(bucket, range, &mut found).await? {
            let entry = Entry::of(&stored);
            while let Some(only_in_log) = log.first_entry().filter(|first| *first.key() < seq) {
                let (seq, entry) = only_in_log.remove_entry();
                found.take(seq, &entry);
            }
            match log.remove(&seq) {
                Some(in_log) if in_log.hash != entry.hash && seq <= gap => found.strays.push(seq),
                Some(in_log) if in_log.hash != entry.hash => found.find(seq, "it is not what the history has"),
                _ => {}
            }
            if seq > found.last {
                found.take(seq, &entry);
            } else if seq == found.last && found.head != Some(entry.hash) {
                found.find(seq, "two ranges of the history differ about it");
            }
        }
    }
    log.iter().for_each(|(seq, entry)| found.take(*seq, entry));
    let last = found.last;
    for (node, head) in heads.iter().filter(|(_, head)| head.seq > last) {
        found.find(head.seq, format!("it is missing, and the node {node} has seen it"));
    }
    found.findings.sort_by_key(|finding| finding.seq);
    Ok(found)
}

/// The entries of the log.
async fn read_log(bucket: &Bucket, found: &mut Verification) -> Result<BTreeMap<u64, Entry>> {
    let (mut log, mut unread) = (BTreeMap::new(), Vec::new());
    let numbers = log::numbers(bucket).await?.into_iter();
    let reads = numbers.map(|seq| async move { Ok((seq, log::stored(bucket, seq).await?)) }.boxed());
    let mut reads = stream::iter(reads).buffered(READS);
    while let Some((seq, stored)) = reads.try_next().await? {
        match stored {
            Some(stored) => _ = log.insert(seq, Entry::of(&stored)),
            None => unread.push(seq),
        }
    }
    if !unread.is_empty() {
        // One that is gone now was trimmed meanwhile, and kept before that.
        let there = log::numbers(bucket).await?;
        unread.retain(|seq| there.contains(seq));
        unread.into_iter().for_each(|seq| found.find(seq, "it is no document, or larger than one may be"));
    }
    Ok(log)
}

/// The entries of a range; none of one that cannot be read.
async fn read_range(bucket: &Bucket, range: KeptRange, found: &mut Verification) -> Result<Vec<KeptEntry>> {
    match history::read(bucket, range).await {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
            found.find(range.first, format!("the history up to {} cannot be read", range.last));
            Ok(Vec::new())
        }
        Ok(entries) => {
            let ends = entries.first().zip(entries.last()).map(|(first, last)| (first.seq, last.seq));
            let is_in_order = entries.is_sorted_by(|entry, next| entry.seq < next.seq);
            if ends != Some((range.first, range.last)) || !is_in_order {
                found.find(range.first, format!("the history up to {} has other entries than it says", range.last));
            }
            Ok(entries)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::key::NodeId;
    use crate::layout::ObjectName;
    use crate::store::Written;

    /// A change log of ten entries, the first five of which are in the history too; the first three only there.
    struct Log {
        bucket: Bucket,
        entries: Vec<Bytes>,
    }

    impl Log {
        async fn new() -> Self {
            let this = Self { bucket: Bucket::in_memory(), entries: chained(10) };
            for (seq, entry) in (1..).zip(&this.entries) {
                this.put(ObjectName::LogEntry { seq }, entry.clone()).await;
            }
            assert_eq!(history::keep(&this.bucket, 0, 5).await.unwrap(), 5);
            assert_eq!(log::trim(&this.bucket, 3, DateTime::<Utc>::MAX_UTC).await.unwrap(), 3);
            this
        }

        async fn put(&self, name: ObjectName, body: Bytes) {
            self.bucket.put(&name, body).await.unwrap();
        }

        /// Writes the history anew, out of other entries.
        async fn rewrite_history(&self, entries: &[(u64, Bytes)]) {
            let other = Bucket::in_memory();
            for (seq, entry) in entries {
                let written = other.create(&ObjectName::LogEntry { seq: *seq }, entry.clone()).await.unwrap();
                assert_eq!(written, Written::Done);
            }
            history::keep(&other, 0, 5).await.unwrap();
            for KeptRange { first, last } in history::ranges(&other, 0).await.unwrap() {
                let name = ObjectName::HistoryRange { first, last };
                self.put(
                    ObjectName::HistoryRange { first: 1, last: 5 },
                    other.read(&name).await.unwrap().unwrap().body,
                )
                .await;
            }
        }

        async fn findings(&self) -> Vec<(u64, String)> {
            let found = verify(&self.bucket).await.unwrap();
            assert_eq!(found.holds(), found.findings.is_empty());
            found.findings.into_iter().map(|finding| (finding.seq, finding.reason)).collect()
        }
    }

    fn chained(count: usize) -> Vec<Bytes> {
        let mut previous = None;
        let next = |_| {
            let mut entry = LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, Vec::new());
            entry.previous = previous;
            let stored = entry.to_bytes();
            previous = Some(EntryHash::of(&stored));
            stored
        };
        (0..count).map(next).collect()
    }

    /// The same entry with another time.
    fn edited(entry: &Bytes) -> Bytes {
        let text = String::from_utf8(entry.to_vec()).unwrap();
        let edited = text.replace("1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z");
        assert_ne!(edited, text);
        edited.into()
    }

    #[tokio::test]
    async fn a_log_that_was_trimmed_holds_and_its_head_stands_for_all_of_it() {
        let log = Log::new().await;
        let found = verify(&log.bucket).await.unwrap();
        assert!(found.holds(), "{found:?}");
        assert_eq!((found.first, found.last, found.entries, found.unchained), (1, 10, 10, 1));
        assert_eq!(found.head, Some(EntryHash::of(&log.entries[9])));
        // What was kept twice, in other ranges, changes nothing.
        history::keep(&log.bucket, 5, 7).await.unwrap();
        let name = ObjectName::HistoryRange { first: 4, last: 6 };
        let lines = Bucket::in_memory();
        for seq in 4..=6 {
            let _ = lines.create(&ObjectName::LogEntry { seq }, log.entries[seq as usize - 1].clone()).await.unwrap();
        }
        history::keep(&lines, 0, 6).await.unwrap();
        log.put(name.clone(), lines.read(&name).await.unwrap().unwrap().body).await;
        let found = verify(&log.bucket).await.unwrap();
        assert_eq!((found.holds(), found.entries), (true, 10), "{found:?}");
        assert!(verify(&Bucket::in_memory()).await.unwrap().holds(), "there is nothing yet");
    }

    #[tokio::test]
    async fn an_entry_that_was_changed_is_named_wherever_it_stands() {
        for seq in 1..=9_u64 {
            let log = Log::new().await;
            if seq <= 5 {
                let mut entries: Vec<_> = (1..).zip(log.entries[..5].iter().cloned()).collect();
                entries[seq as usize - 1].1 = edited(&log.entries[seq as usize - 1]);
                log.rewrite_history(&entries).await;
                let findings = log.findings().await;
                assert!(findings.iter().all(|(found, _)| *found == seq) && !findings.is_empty(), "{seq}: {findings:?}");
            }
            if seq > 3 {
                let log = Log::new().await;
                log.put(ObjectName::LogEntry { seq }, edited(&log.entries[seq as usize - 1])).await;
                let findings = log.findings().await;
                assert_eq!(findings.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [seq], "{findings:?}");
            }
        }
    }

    #[tokio::test]
    async fn an_entry_that_was_removed_swapped_or_broken_is_named() {
        let log = Log::new().await;
        log.bucket.remove(&ObjectName::LogEntry { seq: 8 }).await.unwrap();
        assert_eq!(log.findings().await, [(8, "it is missing".to_owned())]);
        log.bucket.remove(&ObjectName::LogEntry { seq: 7 }).await.unwrap();
        assert_eq!(log.findings().await, [(7, "it is missing, and all up to 8".to_owned())]);

        let log = Log::new().await;
        log.put(ObjectName::LogEntry { seq: 7 }, log.entries[7].clone()).await;
        log.put(ObjectName::LogEntry { seq: 8 }, log.entries[6].clone()).await;
        let named: Vec<_> = log.findings().await.into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(named, [6, 7, 8], "neither follows what it names");

        let log = Log::new().await;
        log.put(ObjectName::LogEntry { seq: 7 }, "{}".into()).await;
        let findings = log.findings().await;
        assert_eq!(findings[0], (7, "it cannot be read".to_owned()));
        assert!(findings[1].1.starts_with("it is not what the next one names: that has sha256:"), "{findings:?}");
        log.put(ObjectName::HistoryRange { first: 1, last: 5 }, "no range".into()).await;
        assert_eq!(log.findings().await[0], (1, "the history up to 5 cannot be read".to_owned()));
    }

    #[tokio::test]
    async fn an_entry_that_only_the_log_has_is_checked_also_where_the_history_goes_on_after_it() {
        let log = Log::new().await;
        history::keep(&log.bucket, 5, 8).await.unwrap();
        log.bucket.remove(&ObjectName::HistoryRange { first: 1, last: 5 }).await.unwrap();
        let found = verify(&log.bucket).await.unwrap();
        assert_eq!((found.holds(), found.first, found.entries), (true, 4, 7));
        log.put(ObjectName::LogEntry { seq: 4 }, edited(&log.entries[3])).await;
        assert_eq!(log.findings().await[0].0, 4);
        log.bucket.remove(&ObjectName::LogEntry { seq: 5 }).await.unwrap();
        assert_eq!(log.findings().await, [(5, "it is missing".to_owned())]);
    }

    #[tokio::test]
    async fn a_range_of_the_history_has_the_entries_that_its_name_says() {
        let log = Log::new().await;
        let body = log.bucket.read(&ObjectName::HistoryRange { first: 1, last: 5 }).await.unwrap().unwrap().body;
        log.put(ObjectName::HistoryRange { first: 3, last: 9 }, body).await;
        let reason = "the history up to 9 has other entries than it says".to_owned();
        assert_eq!(log.findings().await, [(3, reason)]);
    }

    #[tokio::test]
    async fn entries_that_were_all_renumbered_say_so() {
        let (bucket, mut previous) = (Bucket::in_memory(), None);
        for seq in 1..=3 {
            let mut entry = LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, Vec::new());
            (entry.previous, entry.seq) = (previous, Some(seq));
            let stored = entry.to_bytes();
            previous = Some(EntryHash::of(&stored));
            bucket.put(&ObjectName::LogEntry { seq: seq + 5 }, stored).await.unwrap();
        }
        let found = verify(&bucket).await.unwrap();
        let said: Vec<_> = found.findings.iter().map(|found| (found.seq, found.reason.as_str())).collect();
        let expected =
            [(6, "it says that it is entry 1"), (7, "it says that it is entry 2"), (8, "it says that it is entry 3")];
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn what_a_node_that_had_slept_wrote_where_the_log_was_trimmed_is_no_finding() {
        let log = Log::new().await;
        log.put(ObjectName::LogEntry { seq: 2 }, edited(&log.entries[1])).await;
        let found = verify(&log.bucket).await.unwrap();
        assert_eq!((found.holds(), found.strays), (true, vec![2]));
    }

    #[tokio::test]
    async fn entries_of_earlier_versions_are_counted_and_protected_by_those_after_them() {
        let bucket = Bucket::in_memory();
        let older = LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, Vec::new()).to_bytes();
        let mut entry = LogEntry::new(NodeId::random(), DateTime::UNIX_EPOCH, Vec::new());
        entry.previous = Some(EntryHash::of(&older));
        for (seq, body) in [(1, older.clone()), (2, older.clone()), (3, entry.to_bytes())] {
            bucket.put(&ObjectName::LogEntry { seq }, body).await.unwrap();
        }
        let found = verify(&bucket).await.unwrap();
        assert_eq!((found.holds(), found.unchained), (true, 2));
        bucket.put(&ObjectName::LogEntry { seq: 2 }, edited(&older)).await.unwrap();
        assert_eq!(verify(&bucket).await.unwrap().findings[0].seq, 2);
    }
}
