//! Changes that want a number in the log, and who waits for it.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::LoggedChange;
use super::log::{self, LogEntry, Part};
use crate::error::{Error, Result};

/// All that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<VecDeque<QueuedChanges>>);

/// Changes that share an entry, and who waits for its number.
#[derive(Debug)]
struct QueuedChanges {
    part: Part,
    notify: Option<oneshot::Sender<Result<u64>>>,
    /// Whether a full reconcile has found them. Then they are not kept when there is no number for now, because the
    /// full reconciles of other nodes find them, too.
    is_found: bool,
}

impl QueuedChanges {
    fn notify(self, outcome: Result<u64>) {
        if let Some(notify) = self.notify {
            let _ = notify.send(outcome);
        }
    }
}

/// The changes that are being written. They are queued again if that is cut short.
#[derive(Debug)]
pub(super) struct Group<'a> {
    queue: &'a Queue,
    waiting: Vec<QueuedChanges>,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.0.lock();
        for unwritten in self.waiting.drain(..).rev() {
            waiting.push_front(unwritten);
        }
    }
}

impl Queue {
    /// Queues changes, and gives what tells the numbers of the entries that they take.
    pub(super) fn push(&self, changes: Vec<LoggedChange>, is_found: bool) -> Vec<oneshot::Receiver<Result<u64>>> {
        let mut numbers = Vec::new();
        let queued = log::split(log::compact(changes)).into_iter().map(|part| {
            let (notify, notified) = oneshot::channel();
            numbers.push(notified);
            QueuedChanges { part, notify: Some(notify), is_found }
        });
        let queued: Vec<_> = queued.collect();
        self.0.lock().extend(queued);
        numbers
    }

    /// Queues changes whose number nobody waits for.
    pub(super) fn push_silently(&self, changes: Vec<LoggedChange>) {
        let parts = log::split(log::compact(changes)).into_iter();
        self.0.lock().extend(parts.map(|part| QueuedChanges { part, notify: None, is_found: false }));
    }

    /// Whether changes wait that no caller stays for.
    pub(super) fn has_left_behind(&self) -> bool {
        self.0.lock().iter().any(|waiting| waiting.notify.as_ref().is_none_or(oneshot::Sender::is_closed))
    }

    /// As many of those who wait as fit into one entry, at least one; `None` when nobody does.
    pub(super) fn take_group(&self) -> Option<Group<'_>> {
        let mut waiting = self.0.lock();
        let (mut group, mut changes, mut bytes) = (Vec::new(), 0, 0);
        while let Some(next) = waiting.front() {
            (changes, bytes) = (changes + next.part.changes.len(), bytes + next.part.bytes);
            if !group.is_empty() && (changes > LogEntry::MAX_CHANGES || bytes > LogEntry::MAX_BYTES) {
                break;
            }
            group.extend(waiting.pop_front());
        }
        // One without changes, dropped here, would wait for this lock.
        if group.is_empty() { None } else { Some(Group { queue: self, waiting: group }) }
    }
}

impl Group<'_> {
    /// The changes, each with whether a full reconcile has found it.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&LoggedChange, bool)> {
        self.waiting.iter().flat_map(|waiting| waiting.part.changes.iter().map(|change| (change, waiting.is_found)))
    }

    /// Tells all who wait the number.
    pub(super) fn logged(mut self, seq: u64) {
        self.waiting.drain(..).for_each(|waiting| waiting.notify(Ok(seq)));
    }

    /// Notifies all who wait that there is no number for now, and keeps their changes until the store answers again.
    /// What was changed is kept once, with who changed it last, so the number of changes is bounded by what exists. A
    /// change that was only repeated does not hide what was done.
    pub(super) fn failed(mut self, error: &Error) {
        let mut waiting = self.queue.0.lock();
        let mut pending: HashMap<_, LoggedChange> = HashMap::new();
        for failed in std::mem::take(&mut self.waiting).into_iter().chain(waiting.drain(..)) {
            for change in failed.part.changes.iter().filter(|_| !failed.is_found) {
                let earlier = pending.get(&change.object).and_then(|earlier| earlier.action);
                if change.action.is_some() || earlier.is_none() {
                    pending.insert(change.object.clone(), change.clone());
                }
            }
            failed.notify(Err(Error::new(error.kind(), error.message())));
        }
        let parts = log::split(pending.into_values().collect());
        let parts = parts.into_iter().filter(|part| !part.changes.is_empty());
        waiting.extend(parts.map(|part| QueuedChanges { part, notify: None, is_found: false }));
    }
}
