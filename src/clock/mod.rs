//! Time as an argument. [`SystemClock`] is the only place that reads the machine's clock; [`StoreClock`] estimates the
//! clock of the store.

mod store;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use parking_lot::Mutex;

pub use self::store::StoreClock;

/// A source of the current time, in UTC with millisecond precision (the precision of stored documents).
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current instant.
    fn now(&self) -> DateTime<Utc>;

    /// A point to measure from.
    fn mark(&self) -> Mark {
        Mark { shown: self.now(), steady: Instant::now() }
    }

    /// The time since `mark`. Monotonic for [`SystemClock`].
    fn since(&self, mark: &Mark) -> Duration {
        (self.now() - mark.shown).to_std().unwrap_or_default()
    }

    /// Whether it is set by a test: then it is not compared with the clock of the store.
    fn is_set_by_hand(&self) -> bool {
        false
    }
}

/// A point to measure from: see [`Clock::mark`].
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    shown: DateTime<Utc>,
    steady: Instant,
}

impl Mark {
    /// The time of the clock at the mark.
    pub fn shown(&self) -> DateTime<Utc> {
        self.shown
    }

    /// The later of two marks. Unaffected by wall-clock changes.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        if other.steady > self.steady { other } else { self }
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> DateTime<Utc> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        DateTime::from_timestamp(seconds, since_epoch.subsec_millis() * 1_000_000).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Unaffected by wall-clock changes.
    fn since(&self, mark: &Mark) -> Duration {
        mark.steady.elapsed()
    }
}

/// A clock that only moves when it is advanced: for tests of expiry and deadlines.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self(Mutex::new(start.trunc_subsecs(3)))
    }

    /// Moves the clock forward (or back, with a negative `step`).
    pub fn advance(&self, step: TimeDelta) {
        *self.0.lock() += step;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock()
    }

    fn is_set_by_hand(&self) -> bool {
        true
    }
}
