//! Asking the log at once for a key that is not in memory: it may have been issued elsewhere a moment ago.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::key::Digest;

/// No two looks begin within this: whatever clients present, the store is asked ten times a second at most.
const SPACING: Duration = Duration::from_millis(100);
/// How long a key that was looked for is not looked for again, at most: for so long it may be refused after it was issued
/// elsewhere, by nodes that were asked for it just before.
const REMEMBERED_MILLIS: i64 = 250;
/// How many of those are remembered; a power of two.
const SLOTS: usize = 4096;

/// Looks that many requests share. Bounded in memory and in requests to the store, whatever clients send.
#[derive(Debug)]
pub struct Lookups {
    in_vain: Box<[AtomicU64]>,
    healthy: AtomicBool,
    begun: AtomicU64,
    last: Mutex<Option<Instant>>,
    turn: Semaphore,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            in_vain: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            healthy: AtomicBool::new(true),
            begun: AtomicU64::new(0),
            last: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }
}

impl Lookups {
    /// Whether the log should be asked for this key: not again at once, unless the store could not be reached.
    pub fn worthwhile(&self, digest: &Digest, now: DateTime<Utc>) -> bool {
        let (slot, mark) = self.slot(digest, now);
        slot.load(Ordering::Relaxed) != mark || !self.healthy.load(Ordering::Relaxed)
    }

    /// Remembers that a look found no such key.
    pub fn in_vain(&self, digest: &Digest, now: DateTime<Utc>) {
        let (slot, mark) = self.slot(digest, now);
        slot.store(mark, Ordering::Relaxed);
    }

    /// Notes whether the store answered.
    pub fn note(&self, answered: bool) {
        self.healthy.store(answered, Ordering::Relaxed);
    }

    /// Gives the outcome of a look that began after this call: many callers share one.
    ///
    /// # Errors
    /// Those of `look`.
    pub async fn share(&self, look: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let asked = self.begun.load(Ordering::Acquire);
        let closed = |error| Error::new(ErrorKind::Internal, "no look is possible").caused_by(error);
        let _turn = self.turn.acquire().await.map_err(closed)?;
        if self.begun.load(Ordering::Acquire) > asked {
            let unavailable = || Error::new(ErrorKind::Unavailable, "the store cannot be used right now");
            return if self.healthy.load(Ordering::Relaxed) { Ok(()) } else { Err(unavailable()) };
        }
        let last = *self.last.lock();
        if let Some(last) = last {
            tokio::time::sleep_until(last + SPACING).await;
        }
        *self.last.lock() = Some(Instant::now());
        self.begun.fetch_add(1, Ordering::AcqRel);
        let outcome = look().await;
        self.note(outcome.is_ok());
        outcome
    }

    /// Where a key is remembered, and as what: a mark that means something else a quarter of a second later.
    fn slot(&self, digest: &Digest, now: DateTime<Utc>) -> (&AtomicU64, u64) {
        let hash = digest.table_hash();
        let epoch = (now.timestamp_millis() / REMEMBERED_MILLIS).unsigned_abs();
        let index = usize::try_from(hash % SLOTS as u64).unwrap_or_default();
        (&self.in_vain[index], hash.rotate_left(17) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_key_is_looked_for_again_after_a_quarter_of_a_second() {
        let (lookups, digest) = (Lookups::default(), Digest::of("asked for before it was issued"));
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        assert!(lookups.worthwhile(&digest, now));
        lookups.in_vain(&digest, now);
        assert!(!lookups.worthwhile(&digest, now));
        assert!(lookups.worthwhile(&Digest::of("another"), now));
        assert!(lookups.worthwhile(&digest, now + TimeDelta::milliseconds(250)));
        lookups.note(false);
        assert!(lookups.worthwhile(&digest, now), "the store may know better once it is back");
    }
}
