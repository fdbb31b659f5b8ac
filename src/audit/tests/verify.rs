//! What `verify` finds wrong, and what it does not.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::audit::verify;
use crate::key::NodeId;
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};
use crate::sync::chain::EntryHash;
use crate::sync::history::{self, KeptRange};
use crate::sync::log::{self, LogEntry};

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
            self.put(ObjectName::HistoryRange { first: 1, last: 5 }, other.read(&name).await.unwrap().unwrap().body)
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
async fn a_log_whose_end_was_cut_off_or_written_anew_is_not_what_a_node_has_seen() {
    let log = Log::new().await;
    let head = |seq: u64| EntryHash::of(&log.entries[seq as usize - 1]);
    let say = async |seq, hash: EntryHash| {
        let node_id = NodeId::random();
        let document = serde_json::json!({
            "version": 1, "nodeId": node_id, "appliedSeq": seq, "at": "2026-11-29T00:00:00Z",
            "head": {"seq": seq, "hash": hash},
        });
        log.put(ObjectName::Node { node_id }, document.to_string().into()).await;
        node_id
    };
    say(10, head(10)).await;
    say(2, head(2)).await;
    assert_eq!(log.findings().await, []);
    say(9, head(8)).await;
    assert_eq!(log.findings().await, [(9, "it is not what a node has seen".to_owned())]);
    let node = say(12, head(8)).await;
    assert_eq!(log.findings().await[1], (12, format!("it is missing, and the node {node} has seen it")));
}

#[tokio::test]
async fn an_entry_that_names_none_before_it_is_the_first_one() {
    let log = Log::new().await;
    let mut unchained = LogEntry::parse(&log.entries[7]).unwrap();
    (unchained.previous, unchained.seq) = (None, Some(8));
    log.put(ObjectName::LogEntry { seq: 8 }, unchained.to_bytes()).await;
    let findings = log.findings().await;
    assert!(findings.contains(&(8, "it names no entry before it, as if it were the first".to_owned())), "{findings:?}");
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
