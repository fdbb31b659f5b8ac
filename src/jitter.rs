//! Jitter for timers, so that nodes which started together do not act together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A duration from nothing up to `limit`.
pub(crate) fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(chance())
}

/// `period`, give or take a fifth.
pub(crate) fn around(period: Duration) -> Duration {
    period.mul_f64(0.8 + 0.4 * chance())
}

/// From 0 to 1. Not for secrets: the randomness comes from the keys of the standard library's hash maps.
fn chance() -> f64 {
    let drawn = RandomState::new().hash_one(0) >> 11;
    #[allow(clippy::cast_precision_loss)]
    let share = drawn as f64 / (1u64 << 53) as f64;
    share
}
