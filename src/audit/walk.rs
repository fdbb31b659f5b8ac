//! All entries of the change log that there are, from one of them backwards: from memory as far as that goes, then
//! from the log itself, then from its history, range by range.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use parking_lot::Mutex;

use super::recent::Recent;
use crate::error::{ErrorKind, Result};
use crate::store::Bucket;
use crate::sync::history::{self, KeptRange};
use crate::sync::log::{self, LogEntry, Slot};

/// How many entries are taken from memory at once.
const STEP: usize = 64;
/// How many entries of the log are read at once.
const READS: u64 = 16;

/// A place in the log, on the way back. Holds the entries of one range at most.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    bucket: &'a Bucket,
    recent: &'a Mutex<Recent>,
    /// The number of the last entry of the log.
    end: u64,
    /// The number of the newest entry that was not given yet.
    next: u64,
    /// What was read of those, the newest first.
    read: VecDeque<(u64, Arc<LogEntry>)>,
    /// The numbers that the log has, once they are needed.
    numbers: Option<BTreeSet<u64>>,
    /// The ranges that the history has, once they are needed.
    ranges: Option<Vec<KeptRange>>,
    /// How many times the store was asked for entries.
    pub(super) asked: usize,
}

impl<'a> Walk<'a> {
    /// Begins with the entry `from` of a log that ends with `end`.
    pub(super) fn new(bucket: &'a Bucket, recent: &'a Mutex<Recent>, end: u64, from: u64) -> Self {
        Self { bucket, recent, end, next: from, read: VecDeque::new(), numbers: None, ranges: None, asked: 0 }
    }

    /// The next entry and its number; `None` when there is none before. One that cannot be read is passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub(super) async fn next(&mut self) -> Result<Option<(u64, Arc<LogEntry>)>> {
        while self.read.is_empty() {
            if self.next == 0 {
                return Ok(None);
            }
            self.read_on().await?;
        }
        Ok(self.read.pop_front().inspect(|(seq, _)| self.next = seq - 1))
    }

    /// The number of the newest entry that was not given yet.
    pub(super) fn place(&self) -> u64 {
        self.next
    }

    async fn read_on(&mut self) -> Result<()> {
        self.read = self.recent.lock().back_from(self.next, STEP).into();
        if !self.read.is_empty() {
            return Ok(());
        }
        self.asked += 1;
        let numbers = match self.numbers.take() {
            Some(numbers) => numbers,
            None => log::numbers(self.bucket).await?.into_iter().collect(),
        };
        let newest = self.numbers.insert(numbers).range(..=self.next).next_back().copied();
        match newest {
            Some(newest) if newest == self.next => self.read_log().await,
            newest => self.read_history(newest.unwrap_or(0)).await,
        }
    }

    /// Reads entries of the log, the first of which is there.
    async fn read_log(&mut self) -> Result<()> {
        let last = self.next;
        let numbers = self.numbers.as_ref();
        let first = (1..=last.min(READS))
            .map(|back| last + 1 - back)
            .take_while(|seq| numbers.is_some_and(|numbers| numbers.contains(seq)));
        let first = first.last().unwrap_or(last);
        let bucket = self.bucket;
        let reads = (first..=last).rev().map(|seq| async move { Ok((seq, log::read(bucket, seq).await?)) }.boxed());
        let slots: Vec<(u64, Slot)> = stream::iter(reads).buffered(READS as usize).try_collect().await?;
        for (seq, slot) in slots {
            match slot {
                Slot::Taken(entry, _) => {
                    let entry = Arc::new(entry);
                    self.recent.lock().push_front(seq, self.end, entry.clone());
                    self.read.push_back((seq, entry));
                }
                Slot::Unreadable(_) => self.next = seq - 1,
                Slot::Free => {
                    // Trimmed since: it is in the history by now.
                    self.numbers.as_mut().map(|numbers| numbers.remove(&seq));
                    self.ranges = None;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads the range that has the next entry. Without one, goes on with the entry before that there is: in a range,
    /// or `in_log`.
    async fn read_history(&mut self, in_log: u64) -> Result<()> {
        let ranges = match self.ranges.take() {
            Some(ranges) => ranges,
            None => history::ranges(self.bucket, 0).await?,
        };
        let ranges = self.ranges.insert(ranges);
        // Of several that have it, the one that goes back the farthest.
        let holds = |range: &&KeptRange| range.first <= self.next && self.next <= range.last;
        let Some(range) = ranges.iter().filter(holds).min_by_key(|range| range.first).copied() else {
            let before = ranges.iter().map(|range| range.last).filter(|last| *last < self.next).max();
            self.next = before.unwrap_or(0).max(in_log);
            return Ok(());
        };
        let entries = match history::read(self.bucket, range).await {
            // Removed when its time was over, or broken by hand.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                tracing::warn!(range.first, range.last, "entries of the audit cannot be read: {error:?}");
                ranges.retain(|other| *other != range);
                return Ok(());
            }
            entries => entries?,
        };
        let wanted = entries.into_iter().filter(|entry| (range.first..=self.next).contains(&entry.seq));
        let parsed = wanted.filter_map(|entry| Some((entry.seq, Arc::new(LogEntry::parse(&entry.stored)?))));
        let mut parsed: Vec<_> = parsed.collect();
        parsed.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        self.read = parsed.into();
        if self.read.is_empty() {
            ranges.retain(|other| *other != range);
        }
        Ok(())
    }
}
