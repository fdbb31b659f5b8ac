//! How many bytes of requests may be in memory at once.
//!
//! **Invariant**: nobody waits for memory while holding some. A request waits at the start, when it has nothing; later it
//! grows at once or is refused, and what a decoder has made already counts even beyond the budget, so that newcomers wait
//! until it is gone. So requests cannot wait for each other.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};

/// Bytes of requests in memory, over all streams. Cheap to clone; all clones share them.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Semaphore,
    total: u32,
    /// Bytes that are held beyond the budget: what is given back pays for these first.
    overdrawn: Mutex<usize>,
    acquire_timeout: Duration,
}

impl Budget {
    pub(super) fn new(total_bytes: usize, acquire_timeout: Duration) -> Self {
        let total = u32::try_from(total_bytes).unwrap_or(u32::MAX).max(1);
        Self(Arc::new(Shared {
            free: Semaphore::new(total as usize),
            total,
            overdrawn: Mutex::new(0),
            acquire_timeout,
        }))
    }

    /// Sets `bytes` aside, first come, first served. A request larger than the whole budget gets all of it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when they do not become free within the timeout of the settings.
    pub(super) async fn acquire(&self, bytes: usize) -> Result<Reservation> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, self.0.total);
        match tokio::time::timeout(self.0.acquire_timeout, self.0.free.acquire_many(wanted)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(Reservation { budget: self.clone(), bytes: wanted as usize })
            }
            Ok(Err(_)) | Err(_) => Err(too_many()),
        }
    }

    /// Returns when no reservation is left of those that were made or waited for before.
    pub(super) async fn until_unused(&self) {
        // The permits go back at once. The semaphore is never closed.
        drop(self.0.free.acquire_many(self.0.total).await);
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
}

impl Reservation {
    /// How many bytes it is for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to at least `bytes`, at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when so much is not free now.
    pub fn grow_to(&mut self, bytes: usize) -> Result<()> {
        let missing = bytes.min(self.budget.0.total as usize).saturating_sub(self.bytes);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        self.budget.0.free.try_acquire_many(missing).map_err(|_| too_many())?.forget();
        self.bytes += missing as usize;
        Ok(())
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
        Self { budget: self.budget.clone(), bytes }
    }

    /// Says what is in memory already: `bytes`, no more and no less. Never waits and never fails, and may overdraw the
    /// budget.
    pub(super) fn set(&mut self, bytes: usize) {
        self.shrink_to(bytes);
        let missing = bytes - self.bytes;
        let mut overdrawn = self.budget.0.overdrawn.lock();
        *overdrawn += missing - self.budget.0.free.forget_permits(missing);
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

impl Shared {
    fn give_back(&self, bytes: usize) {
        let mut overdrawn = self.overdrawn.lock();
        let paid = bytes.min(*overdrawn);
        *overdrawn -= paid;
        self.free.add_permits(bytes - paid);
    }
}

fn too_many() -> Error {
    Error::new(ErrorKind::Unavailable, "too many events are under way right now")
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
