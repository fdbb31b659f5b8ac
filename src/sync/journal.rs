//! This node's place in the change log: reading it, applying what it names, and appending in groups.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::try_join_all;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::alone::Alone;
use super::backlog::Backlog;
use super::chain::EntryHash;
use super::history;
use super::log::{self, LogEntry, Slot};
use super::queue::{Group, Queue};
use super::{ChangedObject, LoggedChange};
use crate::clock::{Clock, Mark};
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::key::NodeId;
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};

/// How often a number may be lost to other writers before we say that too many are writing.
const ATTEMPTS: usize = 200;
/// How many entries are read at once after one that exists. The number doubles as long as all of them exist,
const WINDOW: u64 = 8;
/// up to this.
const WIDEST_WINDOW: u64 = 64;
/// How many changes are applied before the log is asked for newer entries again.
const PORTION: usize = 256;

/// Applies what an entry names. It must be repeatable: after a failure the same changes are applied again.
pub trait Apply: Send + Sync {
    /// Reads the changed objects and updates memory.
    fn apply(&self, changes: &[ChangedObject]) -> impl Future<Output = Result<()>> + Send;
}

/// What reading the log to its end found.
#[derive(Debug, Clone, Copy)]
pub struct Polled {
    /// When the store was asked for the first missing entry: memory holds everything that was logged before.
    pub at: Mark,
    /// The same by the clock of timers.
    pub asked: Instant,
    /// Whether no entry was skipped. Only a full reconcile makes up for an unreadable entry.
    pub complete: bool,
}

/// The cursor of this node. One task moves it at a time; all others wait for their turn without blocking a thread.
#[derive(Debug)]
pub struct Journal {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    node_id: NodeId,
    alone: Arc<Alone>,
    backlog: Mutex<Backlog>,
    turn: tokio::sync::Mutex<()>,
    /// The last entry that was read or written, if it was by this node: the next one names it.
    tip: Mutex<Option<(u64, EntryHash)>>,
    waiting: Queue,
    /// The kinds of documents that this node holds beside keys, tenants and streams.
    pub(super) kinds: Vec<&'static str>,
    /// How many changes were passed over because only later versions know their kind.
    unknown: AtomicU64,
    entries: OnceLock<EntryListener>,
}

/// Is called with entries.
struct EntryListener(Box<Listener>);

type Listener = dyn Fn(u64, &LogEntry) + Send + Sync;

impl fmt::Debug for EntryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EntryListener(..)")
    }
}

impl Journal {
    /// A journal before the first entry.
    pub(super) fn new(
        bucket: Bucket,
        clock: Arc<dyn Clock>,
        node_id: NodeId,
        alone: Arc<Alone>,
        kinds: Vec<&'static str>,
    ) -> Self {
        let (backlog, turn, tip, waiting, unknown, entries) = Default::default();
        Self { bucket, clock, node_id, alone, backlog, turn, tip, waiting, kinds, unknown, entries }
    }

    /// Calls `listener` with the number of each entry that is read or written, in their order. It must not wait. The
    /// first call counts.
    pub fn on_entry(&self, listener: impl Fn(u64, &LogEntry) + Send + Sync + 'static) {
        let _ = self.entries.set(EntryListener(Box::new(listener)));
    }

    fn tell(&self, seq: u64, entry: &LogEntry) {
        if let Some(EntryListener(listener)) = self.entries.get() {
            listener(seq, entry);
        }
    }

    /// Every entry up to this number was read.
    pub fn read(&self) -> u64 {
        self.backlog.lock().read()
    }

    /// Begins to note what entries name that are not applied yet.
    pub fn watch(&self) {
        self.backlog.lock().watch();
    }

    /// Ends what [`Journal::watch`] began.
    pub fn unwatch(&self) {
        self.backlog.lock().unwatch();
    }

    /// Every entry up to this number is applied.
    pub fn applied(&self) -> u64 {
        self.backlog.lock().applied()
    }

    /// How many changes were passed over since the start because only later versions know their kind.
    pub fn unknown_changes(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Notes that a full reconcile is complete which began when the log had this entry.
    pub fn reconciled(&self, seq: u64) {
        self.backlog.lock().reconciled(seq);
    }

    /// Reads to the end of the log and applies all of it. However much there is, the log is asked for newer entries
    /// again after each portion, and others may append in between.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; what was applied stays so.
    pub async fn poll(&self, apply: &impl Apply) -> Result<Polled> {
        loop {
            let _turn = self.turn.lock().await;
            let end = self.read_ahead().await?;
            let done = self.apply_portion(apply).await?;
            if let Some((at, asked)) = end.filter(|_| done) {
                let complete = self.backlog.lock().unreadable().is_none();
                return Ok(Polled { at, asked, complete });
            }
        }
    }

    /// Reads to the end of the log, unless very much is still to be applied. Gives the number of the last entry that
    /// was read, which other entries may have followed since.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer.
    pub async fn read_to_end(&self) -> Result<u64> {
        let _turn = self.turn.lock().await;
        self.read_ahead().await?;
        Ok(self.backlog.lock().read())
    }

    /// Appends changes whose documents are durable, and gives the number of their last entry. Changes that arrive
    /// together share one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when no number could be had: the changes are kept, and appended as soon as the store
    /// answers again.
    pub async fn append(&self, apply: &impl Apply, changes: Vec<LoggedChange>) -> Result<u64> {
        self.append_or(apply, changes, false).await
    }

    /// Appends changes that a full reconcile has found which began with [`Journal::watch`], without those that entries
    /// have named since: an entry is written after all before it were read, so of several nodes that find a change the
    /// first enters it. Does not keep them for a retry: full reconciles of other nodes find them.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when no number could be had.
    pub async fn append_found(&self, apply: &impl Apply, changes: Vec<LoggedChange>) -> Result<u64> {
        self.append_or(apply, changes, true).await
    }

    async fn append_or(&self, apply: &impl Apply, changes: Vec<LoggedChange>, is_found: bool) -> Result<u64> {
        let numbers = self.waiting.push(changes, is_found);
        {
            let _turn = self.turn.lock().await;
            self.write_waiting(apply).await; // Another caller may have written ours.
        }
        let mut last = 0;
        for number in numbers {
            let dropped = |error| Error::new(ErrorKind::Internal, "an append was dropped").caused_by(error);
            last = number.await.map_err(dropped)??;
        }
        Ok(last)
    }

    /// Keeps changes whose documents are durable until there is a number for them.
    pub fn append_later(&self, changes: Vec<LoggedChange>) {
        self.waiting.push_silently(changes);
    }

    /// Whether changes wait for a number that no caller stays for, such as those that an outage left without one.
    pub fn has_unlogged(&self) -> bool {
        self.waiting.has_left_behind()
    }

    /// Gives the changes a number that wait for one. What cannot be logged now is kept.
    pub async fn append_waiting(&self, apply: &impl Apply) {
        let _turn = self.turn.lock().await;
        self.write_waiting(apply).await;
    }

    /// Writes what waits, entry after entry. Only with the turn.
    async fn write_waiting(&self, apply: &impl Apply) {
        while let Some(group) = self.waiting.take_group() {
            match self.write(apply, &group).await {
                Ok(seq) => group.logged(seq),
                Err(error) => return group.failed(&error),
            }
        }
    }

    /// Creates an entry at the first free number. The entries of others that it meets on the way are read first and
    /// applied afterwards: a writer that applied each of them at once would lose number after number to other writers.
    async fn write(&self, apply: &impl Apply, group: &Group<'_>) -> Result<u64> {
        let mut entry = LogEntry::new(self.node_id, self.clock.now(), Vec::new());
        for _ in 0..ATTEMPTS {
            let before = {
                let backlog = self.backlog.lock();
                entry.changes = group.changes().filter_map(|(change, found)| backlog.to_enter(change, found)).collect();
                backlog.read()
            };
            if entry.changes.is_empty() && group.changes().next().is_some() {
                return Ok(before); // All of it was found elsewhere, too, and entered there.
            }
            let seq = before + 1;
            (entry.previous, entry.seq) = (self.hash_of(before).await?, Some(seq));
            let body = entry.to_bytes();
            let hash = EntryHash::of(&body);
            if self.bucket.create(&ObjectName::LogEntry { seq }, body).await? == Written::Done {
                *self.tip.lock() = Some((seq, hash));
                self.backlog.lock().push_own(seq, &entry.changes);
                self.tell(seq, &entry);
                let _later = self.apply_portion(apply).await; // Most often this is all that was met on the way.
                return Ok(seq);
            }
            self.read_ahead().await?;
            if self.backlog.lock().is_full() {
                self.apply_portion(apply).await?;
            } else if self.backlog.lock().read() == before {
                // A store may say "conflict, try again" (AWS answers 409 to a race).
                tokio::time::sleep(jitter::up_to(Duration::from_millis(20))).await;
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "too many writers are appending to the change log"))
    }

    /// The hash of an entry, most often the one that this node has seen last, else of the log, or of its history.
    /// `None` when there is none, or no more.
    async fn hash_of(&self, seq: u64) -> Result<Option<EntryHash>> {
        if let Some((_, hash)) = self.tip.lock().filter(|(tip, _)| *tip == seq) {
            return Ok(Some(hash));
        }
        let hash = match seq {
            0 => None,
            _ => match log::read(&self.bucket, seq).await? {
                Slot::Free => history::stored(&self.bucket, seq).await?.map(|stored| EntryHash::of(&stored)),
                there => there.hash(),
            },
        };
        *self.tip.lock() = hash.map(|hash| (seq, hash));
        Ok(hash)
    }

    /// The last entry that this node has read or written, and its hash.
    pub fn tip(&self) -> Option<(u64, EntryHash)> {
        *self.tip.lock()
    }

    /// Reads the entries behind the last one: one request when there is none, several at once as soon as there are
    /// some. Gives the instant at which the store was asked for the one that is not there; `None` when there may be
    /// more. Only with the turn.
    async fn read_ahead(&self) -> Result<Option<(Mark, Instant)>> {
        let mut window = 1;
        loop {
            let first = {
                let backlog = self.backlog.lock();
                if backlog.is_full() {
                    return Ok(None);
                }
                backlog.read() + 1
            };
            let asked = (self.clock.mark(), Instant::now());
            let slots = try_join_all((first..first + window).map(|seq| log::read(&self.bucket, seq))).await?;
            let mut backlog = self.backlog.lock();
            for (seq, slot) in (first..).zip(slots) {
                if !matches!(slot, Slot::Free) {
                    *self.tip.lock() = slot.hash().map(|hash| (seq, hash));
                }
                match slot {
                    Slot::Taken(entry, _) => {
                        if entry.node_id == self.node_id {
                            backlog.note_own(&entry.changes);
                        } else {
                            self.alone.met_another();
                        }
                        self.tell(seq, &entry);
                        backlog.note_found(&entry.changes);
                        backlog.push(seq, self.known(seq, entry));
                    }
                    Slot::Unreadable(_) => {
                        self.alone.met_another(); // Perhaps.
                        backlog.push_unreadable(seq);
                    }
                    Slot::Free => return Ok(Some(asked)),
                }
            }
            window = (window * 2).clamp(WINDOW, WIDEST_WINDOW);
        }
    }

    /// What an entry names, without the documents of kinds that this node does not know. Those are counted.
    fn known(&self, seq: u64, entry: LogEntry) -> Vec<ChangedObject> {
        let count = entry.changes.len();
        let known = |object: &ChangedObject| match object {
            request if request.is_request() => true,
            ChangedObject::Held { kind, .. } => {
                let is_known = self.kinds.contains(&kind.as_str());
                if !is_known {
                    tracing::debug!(seq, kind, "a change of a kind that only a later version knows");
                }
                is_known
            }
            _ => true,
        };
        let mut objects: Vec<_> = entry.changes.into_iter().map(|change| change.object).filter(known).collect();
        let unknown = count - objects.len();
        objects.retain(|object| !object.is_request());
        if unknown > 0 && self.unknown.fetch_add(unknown as u64, Ordering::Relaxed) == 0 {
            tracing::warn!(seq, "the change log has entries of a later version: this node passes over some changes");
        }
        objects
    }

    /// Applies some of what was read. Says whether that was all. Only with the turn.
    async fn apply_portion(&self, apply: &impl Apply) -> Result<bool> {
        let portion = self.backlog.lock().portion(PORTION);
        if !portion.changes.is_empty() {
            apply.apply(&portion.changes).await?;
        }
        let mut backlog = self.backlog.lock();
        backlog.applied_portion(portion);
        Ok(!backlog.has_changes())
    }
}
