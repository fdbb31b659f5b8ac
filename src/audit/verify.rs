//! Whether the change log and its history are what was written: every entry names the one before it.

use std::collections::{BTreeMap, HashMap};

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use super::progress::Progress;
use crate::documents::{Documents, Found};
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
            None => {
                self.unchained += 1;
                // Entries that say their number name the one before, too.
                if self.entries > 0 && entry.says.is_some() {
                    self.find(seq, "it names no entry before it, as if it were the first");
                }
            }
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
    let written = Documents::<Progress>::new(bucket.clone()).read(&()).await?.found;
    if let Found::Usable(progress) = written
        && progress.written > last
    {
        found.find(progress.written, "it is missing, and was written to the streams keyloft_audit");
    }
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
