//! The waiting requests of one stream, and when they leave together.
//!
//! **Invariant**: a stream has a lane exactly as long as a task runs for it. Both the end of the task and the arrival
//! of a request are decided under one lock, so no request is left behind in a lane that nobody empties.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::budget::Inside;
use super::write::Arrival;
use crate::error::Result;
use crate::key::{StreamName, TenantId};

/// How many requests share one object at most.
pub(super) const MAX_GROUP_REQUESTS: usize = 1000;

/// Which stream of which tenant.
pub(super) type Destination = (TenantId, StreamName);

/// A decoded request that waits for its group to become durable.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) arrival: Arrival,
    pub(super) answer: oneshot::Sender<Result<usize>>,
    pub(super) joined_at: Instant,
    /// Given back when the answer has been sent, whether or not anybody still listens.
    pub(super) room: OwnedSemaphorePermit,
    pub(super) inside: Arc<Inside>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.room.num_permits()
    }

    /// Sends the answer; a client that has hung up is no concern of the others.
    pub(super) fn answer(self, answer: Result<usize>) {
        let _ = self.answer.send(answer);
        drop((self.room, self.inside));
    }
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Full, or in a hurry.
    wake: Arc<Notify>,
}

/// The lanes of all streams that have requests waiting or under way.
#[derive(Debug)]
pub(super) struct Lanes {
    state: Mutex<State>,
    window: Duration,
    max_group_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    lanes: HashMap<Destination, Lane>,
    hurried: bool,
}

impl Lanes {
    pub(super) fn new(window: Duration, max_group_bytes: usize) -> Self {
        Self { state: Mutex::default(), window, max_group_bytes }
    }

    /// Puts a request into its lane. True when the lane is new: then the caller must start a task for it.
    pub(super) fn join(&self, destination: &Destination, waiting: Waiting) -> bool {
        let mut state = self.state();
        let is_new = !state.lanes.contains_key(destination);
        let lane = state.lanes.entry(destination.clone()).or_default();
        lane.bytes += waiting.bytes();
        lane.waiting.push_back(waiting);
        if lane.is_full(self.max_group_bytes) {
            lane.wake.notify_one();
        }
        is_new
    }

    /// Returns when the first request has waited for the window, or the group is full, or there is a hurry.
    pub(super) async fn ripe(&self, destination: &Destination) {
        loop {
            let (wake, leaves_at) = {
                let state = self.state();
                let Some(lane) = state.lanes.get(destination) else { return };
                let Some(first) = lane.waiting.front() else { return };
                if state.hurried || lane.is_full(self.max_group_bytes) {
                    return;
                }
                (lane.wake.clone(), first.joined_at + self.window)
            };
            tokio::select! {
                () = tokio::time::sleep_until(leaves_at) => return,
                () = wake.notified() => {} // Perhaps for the group before: look again.
            }
        }
    }

    /// The next group: of one day, and within the bounds. `None` when nobody waits, and then the lane is gone.
    pub(super) fn take(&self, destination: &Destination) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        let lane = state.lanes.get_mut(destination)?;
        let mut group: Vec<Waiting> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = lane.waiting.front() {
            let same_day = group
                .first()
                .is_none_or(|first| first.arrival.arrived_at.date_naive() == next.arrival.arrived_at.date_naive());
            let fits = group.is_empty() || bytes + next.bytes() <= self.max_group_bytes;
            if !same_day || !fits || group.len() >= MAX_GROUP_REQUESTS {
                break;
            }
            bytes += next.bytes();
            group.extend(lane.waiting.pop_front());
        }
        lane.bytes -= bytes;
        if group.is_empty() {
            state.lanes.remove(destination);
            return None;
        }
        Some(group)
    }

    /// Nobody will empty this lane any more: those who wait are refused.
    pub(super) fn abandon(&self, destination: &Destination) {
        let abandoned = self.state().lanes.remove(destination);
        drop(abandoned); // Outside the lock: it wakes those who wait.
    }

    /// From now on no group waits for others.
    pub(super) fn hurry(&self) {
        let mut state = self.state();
        state.hurried = true;
        state.lanes.values().for_each(|lane| lane.wake.notify_one());
    }

    /// How many streams have a task.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state().lanes.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    fn is_full(&self, max_bytes: usize) -> bool {
        self.bytes >= max_bytes || self.waiting.len() >= MAX_GROUP_REQUESTS
    }
}
