//! The generic cell rate algorithm: pure, in whole numbers of any unit of time. `gcra.lua` computes the same in Redis;
//! `tests/it/access/rates_shared.rs` compares the two.

/// The use of one limit: all of it is free again at `full_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gcra {
    full_at: u64,
}

/// The cost of a request, as the time in which it becomes free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// The cost.
    pub cost: u64,
    /// The capacity of the limit.
    pub capacity: u64,
}

impl Gcra {
    /// A limit that is free at `full_at`.
    pub const fn full_at(full_at: u64) -> Self {
        Self { full_at }
    }

    /// How long until all of it is free.
    pub const fn until_full(self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }

    /// The use after paying the price.
    ///
    /// # Errors
    /// How long to wait when too little is free. A price above the capacity is never free.
    pub fn acquire(self, price: Price, now: u64) -> Result<Self, u64> {
        let used = self.until_full(now).min(price.capacity).saturating_add(price.cost);
        match used.checked_sub(price.capacity) {
            Some(wait) if wait > 0 => Err(wait),
            _ => Ok(Self::full_at(now.saturating_add(used))),
        }
    }

    /// The same use after a change of rate and capacity, rounded up: changing a limit does not refill it.
    #[must_use]
    pub fn converted(self, now: u64, from_rate: u64, to_rate: u64, capacity: u64) -> Self {
        let used = (u128::from(self.until_full(now)) * u128::from(from_rate)).div_ceil(u128::from(to_rate.max(1)));
        Self::full_at(now.saturating_add(u64::try_from(used).unwrap_or(u64::MAX).min(capacity)))
    }

    /// The larger of this use and the one that another node has counted. Never reduces the use.
    #[must_use]
    pub fn at_least(self, until_full: u64, now: u64) -> Self {
        Self::full_at(self.full_at.max(now.saturating_add(until_full)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_paid_while_there_is_enough_and_the_wait_is_exact() {
        let price = Price { cost: 10, capacity: 25 };
        let one = Gcra::default().acquire(price, 100).unwrap();
        let two = one.acquire(price, 100).unwrap();
        assert_eq!((one.until_full(100), two.until_full(100)), (10, 20));
        assert_eq!(two.acquire(price, 100), Err(5));
        assert_eq!(two.acquire(price, 104), Err(1));
        assert_eq!(two.acquire(price, 105), Ok(Gcra::full_at(130)));
        assert_eq!(Gcra::default().acquire(Price { cost: 26, capacity: 25 }, 0), Err(1));
    }

    #[test]
    fn what_is_used_stays_used_at_another_rate() {
        let half = Gcra::full_at(130);
        assert_eq!(half.converted(100, 2, 4, 1000).until_full(100), 15);
        assert_eq!(half.converted(100, 2, 7, 1000).until_full(100), 9, "rounded up");
        assert_eq!(half.converted(100, 2, 1, 40).until_full(100), 40);
        assert_eq!(half.at_least(10, 100), half);
        assert_eq!(half.at_least(50, 100).until_full(100), 50);
    }
}
