//! One time for all, which stands still until everybody waits; and clocks that show it wrongly.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use keyloft::Clock;
use tokio::time::Instant;

/// How long a history has been going on.
#[derive(Debug, Clone, Copy)]
pub struct Start(Instant);

impl Start {
    pub fn now() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// What a clock shows that is right.
    pub fn wall(self) -> DateTime<Utc> {
        (DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + self.elapsed()).trunc_subsecs(3)
    }
}

/// The clock of one machine.
#[derive(Debug)]
pub struct Skewed {
    start: Start,
    skew_millis: AtomicI64,
}

impl Skewed {
    pub fn new(start: Start) -> Self {
        Self { start, skew_millis: AtomicI64::new(0) }
    }

    pub fn set(&self, millis: i64) {
        self.skew_millis.store(millis, Ordering::SeqCst);
    }
}

impl Clock for Skewed {
    fn now(&self) -> DateTime<Utc> {
        self.start.wall() + TimeDelta::milliseconds(self.skew_millis.load(Ordering::SeqCst))
    }
}
