//! This node's place in the change log: reading on, and appending in groups.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::log::{self, LogEntry, Slot};
use super::{Touched, jitter};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::key::NodeId;
use crate::layout::ObjectName;
use crate::store::{Bucket, Written};

/// How often a number may be lost to other writers before we say that too many are writing.
const ATTEMPTS: usize = 200;

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
    changes: Vec<Touched>,
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
            let next = self.applied() + 1;
            match log::read(&self.bucket, next).await? {
                Slot::Free => break,
                Slot::Unreadable => return Ok(Reached::Unreadable),
                Slot::Taken(entry) => apply.apply(&entry.changes).await?,
            }
            self.advance(next);
        }
        self.write_waiting(apply).await;
        Ok(Reached::Head)
    }

    /// Appends changes whose documents are durable, and gives their number. Changes that arrive together share an entry.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when no number could be had: the changes are kept, and appended as soon as the store
    /// answers again.
    pub async fn append(&self, apply: &impl Apply, changes: Vec<Touched>) -> Result<u64> {
        let (sender, told) = oneshot::channel();
        self.lock().push_back(Waiting { changes, told: Some(sender) });
        {
            let _turn = self.turn().await?;
            self.write_waiting(apply).await; // Whoever had the turn before may have written ours.
        }
        told.await.map_err(|error| Error::new(ErrorKind::Internal, "an append was dropped").caused_by(error))?
    }

    /// Keeps changes whose documents are durable until there is a number for them.
    pub fn owe(&self, changes: Vec<Touched>) {
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

    async fn write(&self, apply: &impl Apply, changes: Vec<Touched>) -> Result<u64> {
        let body = LogEntry::new(self.node_id, self.clock.now(), changes).to_bytes();
        for _ in 0..ATTEMPTS {
            let seq = self.applied() + 1;
            match self.bucket.create(&ObjectName::LogEntry { seq }, body.clone()).await? {
                Written::Done => {
                    self.advance(seq);
                    return Ok(seq);
                }
                Written::Conflict => match log::read(&self.bucket, seq).await? {
                    Slot::Taken(entry) => {
                        apply.apply(&entry.changes).await?;
                        self.advance(seq);
                    }
                    Slot::Free => {} // A store may say "conflict, try again" (AWS answers 409 to a race).
                    Slot::Unreadable => {
                        return Err(Error::new(ErrorKind::Unavailable, "an entry of the change log cannot be read"));
                    }
                },
            }
            tokio::time::sleep(jitter::up_to(Duration::from_millis(20))).await;
        }
        Err(Error::new(ErrorKind::Unavailable, "too many writers are appending to the change log"))
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

    /// Tells all who wait that there is no number for now, and keeps their changes until the store answers again. Each is
    /// kept once, so their number is bounded by what exists.
    fn keep(&self, group: Vec<Waiting>, error: &Error) {
        let mut waiting = self.lock();
        let mut owed = HashSet::new();
        for failed in group.into_iter().chain(waiting.drain(..)) {
            owed.extend(failed.changes.iter().cloned());
            failed.tell(Err(Error::new(error.kind(), error.message())));
        }
        let owed: Vec<Touched> = owed.into_iter().collect();
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
