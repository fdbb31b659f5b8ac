//! How many bytes of requests may be in memory at once.
//!
//! A request waits at the start, when it has nothing. What decoders make of it later may exceed the budget by a
//! quarter, all together; beyond that, one request at a time goes on, and the others wait for their turn. Newcomers
//! wait until what was taken beyond the budget is given back.
//!
//! **Invariant**: requests do not wait for each other's memory. The request whose turn it is does not wait.
//! **Invariant**: memory counts before it is used: no more is in use than five quarters of the budget and one request.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of requests in memory, over all streams. Cheap to clone; all clones share them.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    free: Semaphore,
    total: usize,
    /// One permit: whose turn it is to exceed the budget by as much as it needs.
    turn: Arc<Semaphore>,
    /// Held by those who wait until nothing is reserved, which takes several steps.
    emptying: tokio::sync::Mutex<()>,
    /// Bytes that are held beyond the budget: what is given back pays for these first.
    overdrawn: Mutex<usize>,
    acquire_timeout: Duration,
}

impl Budget {
    pub(super) fn new(total_bytes: usize, acquire_timeout: Duration) -> Self {
        let total = total_bytes.clamp(1, Semaphore::MAX_PERMITS);
        Self(Arc::new(BudgetState {
            free: Semaphore::new(total),
            total,
            turn: Arc::new(Semaphore::new(1)),
            emptying: tokio::sync::Mutex::default(),
            overdrawn: Mutex::new(0),
            acquire_timeout,
        }))
    }

    /// Sets `bytes` aside, first come, first served. A request larger than the whole budget gets all of it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when they do not become free within the timeout of the settings.
    pub(super) async fn acquire(&self, bytes: usize) -> Result<Reservation> {
        let wanted = u32::try_from(bytes.clamp(1, self.0.total)).unwrap_or(u32::MAX);
        match tokio::time::timeout(self.0.acquire_timeout, self.0.free.acquire_many(wanted)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(Reservation { budget: self.clone(), bytes: wanted as usize, turn: None, was_short: false })
            }
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    /// Returns when no reservation is left of those that were made or waited for before.
    pub(super) async fn until_unused(&self) {
        let _emptying = self.0.emptying.lock().await;
        let mut permits = Vec::new();
        let mut rest = self.0.total;
        while rest > 0 {
            let part = u32::try_from(rest).unwrap_or(u32::MAX);
            permits.push(self.0.free.acquire_many(part).await); // The semaphore is never closed.
            rest -= part as usize;
        }
    }

    #[cfg(test)]
    fn free_bytes(&self) -> usize {
        self.0.free.available_permits()
    }
}

/// Memory that one request may fill. Given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: usize,
    /// Held while it may exceed the budget by as much as it needs.
    turn: Option<OwnedSemaphorePermit>,
    was_short: bool,
}

impl Reservation {
    /// How many bytes it is for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to at least `bytes`, at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the budget has no room now.
    pub fn grow_to(&mut self, bytes: usize) -> Result<()> {
        let missing = bytes.min(self.budget.0.total).saturating_sub(self.bytes);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        self.budget.0.free.try_acquire_many(missing).map_err(|_| too_many())?.forget();
        self.bytes += missing as usize;
        Ok(())
    }

    /// Grows to at least `bytes` for what a decoder is about to make, at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the budget has no room and this reservation does not hold the turn: see
    /// [`Reservation::was_short`].
    pub(super) fn extend_to(&mut self, bytes: usize) -> Result<()> {
        let missing = bytes.saturating_sub(self.bytes);
        if !self.budget.0.overdraw(missing, self.turn.is_some()) {
            self.was_short = true;
            return Err(too_many());
        }
        self.bytes += missing;
        Ok(())
    }

    /// Whether [`Reservation::extend_to`] has failed. The work can be done again after [`Reservation::wait_for_turn`].
    pub(super) fn was_short(&self) -> bool {
        self.was_short
    }

    /// Waits for the turn to exceed the budget.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when that takes longer than the timeout of the settings.
    pub(super) async fn wait_for_turn(&mut self) -> Result<()> {
        let shared = &self.budget.0;
        match tokio::time::timeout(shared.acquire_timeout, shared.turn.clone().acquire_owned()).await {
            Ok(Ok(turn)) => {
                (self.turn, self.was_short) = (Some(turn), false);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    /// Shrinks to at most `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        self.bytes -= excess;
        self.budget.0.give_back(excess);
    }

    /// Gives a part of it away, of at most `bytes`.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes, turn: None, was_short: false }
    }

    /// Says what is in memory already: `bytes`, no more and no less. Never waits and never fails, and may overdraw the
    /// budget.
    pub(super) fn set(&mut self, bytes: usize) {
        self.shrink_to(bytes);
        self.budget.0.overdraw(bytes - self.bytes, true);
        self.bytes = bytes;
    }

    /// One that may grow without end.
    #[cfg(test)]
    pub(super) fn unlimited() -> Self {
        let budget = Budget::new(usize::MAX, Duration::ZERO);
        Self { budget, bytes: 0, turn: None, was_short: false }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl BudgetState {
    /// Takes `bytes`, if need be from beyond the budget: a quarter of it, or as many as it takes when there is
    /// `no_bound`. Whether they were taken.
    fn overdraw(&self, bytes: usize, no_bound: bool) -> bool {
        let mut overdrawn = self.overdrawn.lock();
        let from_budget = self.free.forget_permits(bytes);
        let beyond = bytes - from_budget;
        if beyond > 0 && !no_bound && *overdrawn + beyond > self.total / 4 {
            self.free.add_permits(from_budget);
            return false;
        }
        *overdrawn += beyond;
        true
    }

    fn give_back(&self, bytes: usize) {
        let mut overdrawn = self.overdrawn.lock();
        let paid = bytes.min(*overdrawn);
        *overdrawn -= paid;
        self.free.add_permits(bytes - paid);
    }
}

fn too_many() -> Error {
    Error::new(ErrorKind::Unavailable, "too many events are in memory right now")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes: usize) -> Budget {
        Budget::new(bytes, Duration::from_millis(50))
    }

    #[tokio::test]
    async fn what_is_given_back_is_free_again() {
        let budget = budget(100);
        let mut one = budget.acquire(60).await.unwrap();
        assert!(budget.acquire(60).await.is_err());
        assert!(one.grow_to(101).is_ok(), "more than all of it is all of it");
        assert!(budget.acquire(1).await.is_err());
        one.shrink_to(10);
        assert_eq!((one.bytes(), budget.free_bytes()), (10, 90));
        let other = budget.acquire(90).await.unwrap();
        assert!(one.grow_to(11).is_err());
        assert_eq!(one.bytes(), 10);
        drop((one, other));
        assert_eq!(budget.free_bytes(), 100);
    }

    #[tokio::test]
    async fn what_is_overdrawn_is_paid_back_before_anybody_enters() {
        let budget = budget(100);
        let (mut one, two) = (budget.acquire(50).await.unwrap(), budget.acquire(50).await.unwrap());
        one.set(300);
        drop(two);
        assert_eq!(budget.free_bytes(), 0);
        assert!(budget.acquire(1).await.is_err());
        one.set(20);
        assert_eq!(budget.free_bytes(), 80);
        drop(one);
        assert_eq!(budget.free_bytes(), 100);
    }

    #[tokio::test]
    async fn decoders_exceed_the_budget_by_a_quarter_and_beyond_that_one_at_a_time() {
        let budget = budget(100);
        let (mut one, mut two) = (budget.acquire(50).await.unwrap(), budget.acquire(50).await.unwrap());
        one.extend_to(75).unwrap();
        assert!(two.extend_to(51).is_err() && two.was_short());
        assert_eq!(two.bytes(), 50, "what failed has taken nothing");
        two.wait_for_turn().await.unwrap();
        two.extend_to(1000).unwrap();
        assert!(one.extend_to(76).is_err());
        assert!(one.wait_for_turn().await.is_err(), "it is the turn of the other one");
        drop(two);
        one.wait_for_turn().await.unwrap();
        one.extend_to(1000).unwrap();
        drop(one);
        assert_eq!(budget.free_bytes(), 100);
    }

    #[tokio::test]
    async fn more_than_four_gibibytes_are_more_than_four_gibibytes() {
        let total = 10 << 30;
        let budget = budget(total);
        let held = [budget.acquire(3 << 30).await.unwrap(), budget.acquire(3 << 30).await.unwrap()];
        assert_eq!(budget.free_bytes(), 4 << 30);
        assert!(tokio::time::timeout(Duration::from_millis(20), budget.until_unused()).await.is_err());
        drop(held);
        tokio::join!(budget.until_unused(), budget.until_unused());
        assert_eq!(budget.free_bytes(), total);
    }

    #[tokio::test]
    async fn requests_that_all_grow_beyond_the_budget_do_not_wait_for_each_other() {
        let budget = budget(256);
        let mut held = Vec::new();
        for _ in 0..25 {
            held.push(budget.acquire(10).await.unwrap());
        }
        held.iter_mut().for_each(|one| one.set(12)); // 300 of 256, and nobody waited.
        assert_eq!(budget.free_bytes(), 0);
        let waiting = tokio::spawn({
            let budget = Budget(budget.0.clone());
            async move { budget.acquire(10).await.map(drop) }
        });
        tokio::task::yield_now().await;
        held.truncate(20);
        waiting.await.unwrap().unwrap();
        drop(held);
        budget.until_unused().await;
        assert_eq!(budget.free_bytes(), 256);
    }
}
