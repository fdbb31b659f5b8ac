//! This node's place in the change log: reading on, and appending in groups.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::sync::{Semaphore, oneshot};

use super::log::{self, LogEntry, Slot};
use super::{LoggedChange, Touched};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::jitter;
use crate::key::NodeId;
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};

/// How often a number may be lost to other writers before we say that too many are writing.
const ATTEMPTS: usize = 200;
/// How many entries are read at once behind one that is there.
const WINDOW: u64 = 8;
/// How many entries are read before they are taken in.
const MAX_AHEAD: u64 = 256;

/// Takes in what an entry names. It must be repeatable: after a failure the whole entry is applied again.
pub trait Apply: Send + Sync {
    /// Takes in what was touched.
    fn apply(&self, changes: &[Touched]) -> impl Future<Output = Result<()>> + Send;
}

/// How far reading on has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The end of the log.
    Head,
    /// An entry that cannot be read: only a look at everything tells what it touched.
    Unreadable,
}

/// Entries that were read and not taken in yet.
#[derive(Debug)]
struct Ahead {
    changes: Vec<Touched>,
    /// The number of the last one.
    last: u64,
    end: End,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is no next entry.
    Head,
    /// There may be more: enough for now.
    More,
    /// The next entry cannot be read.
    Unreadable,
}

/// The cursor of this node. One walker moves it at a time; all others wait for their turn without blocking a thread.
#[derive(Debug)]
pub struct Journal {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    node_id: NodeId,
    applied: AtomicU64,
    turn: Semaphore,
    waiting: Mutex<VecDeque<Waiting>>,
}

/// Changes that want a number, and who is told of it.
#[derive(Debug)]
struct Waiting {
    changes: Vec<LoggedChange>,
    told: Option<oneshot::Sender<Result<u64>>>,
}

impl Waiting {
    fn tell(self, outcome: Result<u64>) {
        if let Some(told) = self.told {
            let _ = told.send(outcome);
        }
    }
}

impl Journal {
    /// A journal before the first entry.
    pub fn new(bucket: Bucket, clock: Arc<dyn Clock>, node_id: NodeId) -> Self {
        let (applied, turn, waiting) = (AtomicU64::new(0), Semaphore::new(1), Mutex::default());
        Self { bucket, clock, node_id, applied, turn, waiting }
    }

    /// Everything up to this number has been taken in.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Says that everything up to `seq` has been taken in by other means.
    pub fn advance(&self, seq: u64) {
        self.applied.fetch_max(seq, Ordering::AcqRel);
    }

    /// Reads on to the end of the log, and gives the changes a number that an earlier outage left without one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store does not answer; what was taken in stays so.
    pub async fn read_on(&self, apply: &impl Apply) -> Result<Reached> {
        let _turn = self.turn().await?;
        loop {
            let ahead = self.ahead(self.applied()).await?;
            let end = ahead.end;
            self.take_in(apply, ahead).await?;
            match end {
                End::Head => break,
                End::Unreadable => return Ok(Reached::Unreadable),
                End::More => {}
            }
        }
        self.write_waiting(apply).await;
        Ok(Reached::Head)
    }

    /// Appends changes whose documents are durable, and gives their number. Changes that arrive together share an entry.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when no number could be had: the changes are kept, and appended as soon as the store
    /// answers again.
    pub async fn append(&self, apply: &impl Apply, changes: Vec<LoggedChange>) -> Result<u64> {
        let (sender, told) = oneshot::channel();
        self.lock().push_back(Waiting { changes, told: Some(sender) });
        {
            let _turn = self.turn().await?;
            self.write_waiting(apply).await; // Whoever had the turn before may have written ours.
        }
        told.await.map_err(|error| Error::new(ErrorKind::Internal, "an append was dropped").caused_by(error))?
    }

    /// Keeps changes whose documents are durable until there is a number for them.
    pub fn owe(&self, changes: Vec<LoggedChange>) {
        self.lock().push_back(Waiting { changes, told: None });
    }

    /// Writes what waits, entry after entry. Only with the turn.
    async fn write_waiting(&self, apply: &impl Apply) {
        loop {
            let group = self.take_group();
            if group.is_empty() {
                return;
            }
            let changes = group.iter().flat_map(|waiting| waiting.changes.iter().cloned()).collect();
            match self.write(apply, changes).await {
                Ok(seq) => group.into_iter().for_each(|waiting| waiting.tell(Ok(seq))),
                Err(error) => return self.keep(group, &error),
            }
        }
    }

    /// Creates an entry at the first free number. What was written before it is looked at on the way and taken in
    /// afterwards: others would take number after number from whoever did that first.
    async fn write(&self, apply: &impl Apply, changes: Vec<LoggedChange>) -> Result<u64> {
        let body = LogEntry::new(self.node_id, self.clock.now(), changes).to_bytes();
        let mut skipped = Ahead { changes: Vec::new(), last: self.applied(), end: End::Head };
        let mut readable = true;
        for _ in 0..ATTEMPTS {
            let seq = skipped.last + 1;
            if self.bucket.create(&ObjectName::LogEntry { seq }, body.clone()).await? == Written::Done {
                // The entry is durable in any case; one that cannot be taken in now is read on later.
                if readable && self.take_in(apply, skipped).await.is_ok() {
                    self.advance(seq);
                }
                return Ok(seq);
            }
            let ahead = self.ahead(skipped.last).await?;
            if ahead.end == End::Unreadable {
                // It is passed over here, and the cursor stays before it: reading on will look at everything.
                readable = false;
                skipped = Ahead { last: ahead.last + 1, ..skipped };
                continue;
            }
            if ahead.last == skipped.last {
                // A store may say "conflict, try again" (AWS answers 409 to a race).
                tokio::time::sleep(jitter::up_to(Duration::from_millis(20))).await;
            }
            skipped.last = ahead.last;
            skipped.changes.extend(ahead.changes);
            if ahead.end == End::More && readable {
                let seen = std::mem::take(&mut skipped.changes);
                self.take_in(apply, Ahead { changes: seen, ..skipped }).await?;
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "too many writers are appending to the change log"))
    }

    /// Reads the entries behind number `last`: one request when there is none, several at once as soon as there are some.
    async fn ahead(&self, last: u64) -> Result<Ahead> {
        let mut ahead = Ahead { changes: Vec::new(), last, end: End::More };
        let mut window = 1;
        while ahead.last - last < MAX_AHEAD {
            let numbers = (1..=window).map(|step| log::read(&self.bucket, ahead.last + step));
            for slot in try_join_all(numbers).await? {
                match slot {
                    Slot::Taken(entry) => {
                        ahead.changes.extend(entry.changes.into_iter().map(|change| change.object));
                        ahead.last += 1;
                    }
                    Slot::Free => return Ok(Ahead { end: End::Head, ..ahead }),
                    Slot::Unreadable => return Ok(Ahead { end: End::Unreadable, ..ahead }),
                }
            }
            window = WINDOW;
        }
        Ok(ahead)
    }

    /// Takes in what entries name, each document once, and moves the cursor behind them.
    async fn take_in(&self, apply: &impl Apply, ahead: Ahead) -> Result<()> {
        let mut seen = HashSet::with_capacity(ahead.changes.len());
        let changes: Vec<Touched> = ahead.changes.into_iter().filter(|change| seen.insert(change.clone())).collect();
        if !changes.is_empty() {
            apply.apply(&changes).await?;
        }
        self.advance(ahead.last);
        Ok(())
    }

    /// As many of those who wait as fit into one entry, at least one.
    fn take_group(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let (mut group, mut changes) = (Vec::new(), 0);
        while let Some(next) = waiting.front() {
            changes += next.changes.len();
            if !group.is_empty() && changes > LogEntry::MAX_CHANGES {
                break;
            }
            group.extend(waiting.pop_front());
        }
        group
    }

    /// Tells all who wait that there is no number for now, and keeps their changes until the store answers again. What was
    /// touched is kept once, with who touched it last, so that the number of changes is bounded by what exists.
    fn keep(&self, group: Vec<Waiting>, error: &Error) {
        let mut waiting = self.lock();
        let mut owed = HashMap::new();
        for failed in group.into_iter().chain(waiting.drain(..)) {
            owed.extend(failed.changes.iter().map(|change| (change.object.clone(), change.by.clone())));
            failed.tell(Err(Error::new(error.kind(), error.message())));
        }
        let owed: Vec<LoggedChange> = owed.into_iter().map(|(object, by)| LoggedChange { object, by }).collect();
        let parts = owed.chunks(LogEntry::MAX_CHANGES);
        waiting.extend(parts.map(|changes| Waiting { changes: changes.to_vec(), told: None }));
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        let closed = |error| Error::new(ErrorKind::Internal, "the journal is closed").caused_by(error);
        self.turn.acquire().await.map_err(closed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
