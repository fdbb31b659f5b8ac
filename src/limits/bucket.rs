//! One limit of one subject. governor does the sums (GCRA); what it decides is only a proposal here, so that several
//! limits can be asked and all or none of them be charged.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota as Governed, RateLimiter};

use super::{Charge, Quota};
use crate::key::Rate;

const MINUTE_NANOS: u128 = 60_000_000_000;
/// 36 years: no bucket takes longer to fill, so that sums of times never overflow.
const MAX_CAPACITY_NANOS: u64 = 1 << 60;

/// One limit of one subject. Used by one thread at a time: a lock stands around it.
pub(super) struct Bucket {
    rate: Rate,
    /// How long one cell takes to come back, rounded up: never more than the limit passes.
    period_nanos: u64,
    burst: NonZeroU32,
    limiter: RateLimiter<NotKeyed, Slot, Slot, NoOpMiddleware<Nanos>>,
    slot: Slot,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(charge: &Charge) -> Self {
        let cell = u128::from(charge.policy.kind.cell()) * MINUTE_NANOS;
        let period_nanos = u64::try_from(cell.div_ceil(charge.rate.per_minute.get().into())).unwrap_or(u64::MAX);
        let burst = charge.burst_cells().min(MAX_CAPACITY_NANOS / period_nanos);
        let burst = u32::try_from(burst).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        let period = Duration::from_nanos(period_nanos);
        let governed = Governed::with_period(period).unwrap_or(Governed::per_minute(NonZeroU32::MIN));
        let slot = Slot::default();
        let limiter = RateLimiter::new(governed.allow_burst(burst), slot.clone(), slot.clone());
        Self { rate: charge.rate, period_nanos, burst, limiter, slot }
    }

    /// A bucket for another rate, of which as much is used as of this one: a change of limits is no free refill.
    pub(super) fn changed(&self, charge: &Charge, now: Duration) -> Self {
        let changed = Self::new(charge);
        let used = u64::try_from(self.until_full(now).as_nanos()).unwrap_or(u64::MAX).div_ceil(self.period_nanos);
        let used = used.min(changed.burst.get().into());
        changed.slot.settle_at(nanos(now) + used * changed.period_nanos);
        changed
    }

    /// Whether it is for this rate.
    pub(super) fn is_for(&self, rate: Rate) -> bool {
        self.rate == rate
    }

    /// Asks for what a charge takes; nothing is taken before [`Bucket::settle`]. Says after how long it may pass.
    pub(super) fn propose(&self, charge: &Charge, now: Duration) -> Result<(), Duration> {
        self.slot.0.now.store(nanos(now), Ordering::Relaxed);
        let cells = u32::try_from(charge.cells()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        match self.limiter.check_n(cells) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(Nanos::new(nanos(now)))),
            Err(_) => Err(Duration::from_nanos(MAX_CAPACITY_NANOS)),
        }
    }

    /// Takes what was proposed last.
    pub(super) fn settle(&self) {
        self.slot.settle_at(self.slot.0.proposed.load(Ordering::Relaxed));
    }

    /// Counts as used what others have used of the same limit elsewhere. Never gives anything back.
    pub(super) fn keep_in_step(&self, until_full: Duration, now: Duration) {
        let capacity = u64::from(self.burst.get()) * self.period_nanos;
        let full_at = nanos(now) + nanos(until_full).min(capacity);
        self.slot.settle_at(full_at.max(self.slot.0.full_at.load(Ordering::Relaxed)));
    }

    /// How long until all of the burst is there again.
    pub(super) fn until_full(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.slot.0.full_at.load(Ordering::Relaxed).saturating_sub(nanos(now)))
    }

    /// What is left.
    pub(super) fn quota(&self, charge: &Charge, now: Duration) -> Quota {
        let full_in = self.until_full(now);
        let capacity = u64::from(self.burst.get()) * self.period_nanos;
        let cells = capacity.saturating_sub(nanos(full_in)) / self.period_nanos;
        let remaining = (cells * charge.policy.kind.cell()).min(self.rate.burst.get());
        Quota { policy: charge.policy, rate: self.rate, remaining, full_in }
    }

    /// How many cells may pass at once.
    #[cfg(test)]
    pub(super) fn burst(&self) -> u64 {
        self.burst.get().into()
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({:?})", self.rate)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(MAX_CAPACITY_NANOS)
}

/// What governor reads and writes: the time, and when the bucket is full again, both in nanoseconds from one start.
#[derive(Debug, Clone, Default)]
struct Slot(Arc<Times>);

#[derive(Debug, Default)]
struct Times {
    now: AtomicU64,
    full_at: AtomicU64,
    proposed: AtomicU64,
}

impl Slot {
    fn settle_at(&self, full_at: u64) {
        self.0.full_at.store(full_at, Ordering::Relaxed);
    }
}

impl Clock for Slot {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.now.load(Ordering::Relaxed))
    }
}

impl StateStore for Slot {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, full_at) = decide(Some(Nanos::new(self.0.full_at.load(Ordering::Relaxed))))?;
        self.0.proposed.store(full_at.as_u64(), Ordering::Relaxed);
        Ok(outcome)
    }
}
