//! Times of an entity's events, exactly.

use std::collections::VecDeque;

use super::slots::Slots;

/// How many times of an entity are kept. Up to so many events a window counts exactly.
pub const EXACT: usize = 64;
/// As many times as an entry holds in itself.
pub(super) const FEW: usize = 5;

/// A time in 32 bits: milliseconds modulo 2^32, about 49 days. Times that are kept lie within 64 windows of one
/// another, so their differences are unambiguous.
pub(super) fn short(at_ms: i64) -> u32 {
    u32::try_from(at_ms.rem_euclid(1 << 32)).unwrap_or_default()
}

/// A time again, by a later one near to it.
pub(super) fn long(short_time: u32, last_ms: i64) -> i64 {
    last_ms.saturating_sub(i64::from(short(last_ms).wrapping_sub(short_time)))
}

/// The last times of an entity, oldest first, and counts by sixteenths as soon as there are more in the window.
#[derive(Debug, Clone)]
pub(super) struct Many {
    times: VecDeque<u32>,
    slots: Option<Box<Slots>>,
}

impl Many {
    /// Bytes that the counts by sixteenths take.
    const SLOTS: usize = size_of::<Slots>();

    /// Those that were few.
    pub fn of(few: &[u32]) -> Self {
        let mut times = VecDeque::with_capacity(2 * FEW);
        times.extend(few);
        Self { times, slots: None }
    }

    /// Those that were kept elsewhere, oldest first.
    pub fn with(times: Vec<u32>, slots: Option<Slots>) -> Self {
        Self { times: times.into(), slots: slots.map(Box::new) }
    }

    /// The bytes it takes.
    pub fn bytes(&self) -> usize {
        let slots = self.slots.as_ref().map_or(0, |_| Self::SLOTS);
        size_of::<Self>().saturating_add(self.times.capacity().saturating_mul(4)).saturating_add(slots)
    }

    /// Adds an event, and forgets those that no window counts any more.
    pub fn add(&mut self, at_ms: i64, last_ms: i64, seconds: u32) {
        let from = at_ms.saturating_sub(i64::from(seconds).saturating_mul(1000));
        while self.times.front().is_some_and(|time| long(*time, last_ms) <= from) {
            self.times.pop_front();
        }
        if self.times.len() < EXACT {
            self.slots = None; // All of the window is here.
        } else {
            let slots = self.slots.get_or_insert_with(|| {
                let first = self.times.front().map_or(at_ms, |time| long(*time, last_ms));
                let mut slots = Box::new(Slots::new(seconds, first));
                self.times.iter().for_each(|time| slots.add(long(*time, last_ms)));
                slots
            });
            slots.add(at_ms);
            self.times.pop_front();
        }
        self.times.push_back(short(at_ms));
    }

    /// How many events the window holds that ends at a time.
    pub fn count(&self, at_ms: i64, last_ms: i64, seconds: u32) -> u32 {
        let exact = count(self.times.iter().copied(), at_ms, last_ms, seconds);
        match &self.slots {
            Some(slots) if exact == self.times.len() => slots.count(at_ms).max(whole(exact)),
            _ => whole(exact),
        }
    }

    /// When the window holds fewer events than `threshold`, if no more come.
    pub fn below_at_ms(&self, threshold: u32, last_ms: i64, seconds: u32) -> i64 {
        let exact = |threshold| below_at_ms(self.times.iter().copied(), threshold, last_ms, seconds);
        match &self.slots {
            // As the oldest of the kept times leaves, there are fewer than are kept.
            Some(slots) if threshold > whole(EXACT) => slots.below_at_ms(threshold).min(exact(whole(EXACT))),
            _ => exact(threshold),
        }
    }
}

/// How many times lie within the window that ends at a time.
pub(super) fn count(times: impl Iterator<Item = u32>, at_ms: i64, last_ms: i64, seconds: u32) -> usize {
    let from = at_ms.saturating_sub(i64::from(seconds).saturating_mul(1000));
    times.filter(|time| long(*time, last_ms) > from).count()
}

/// When the window holds fewer of the times, oldest first, than `threshold`: as the last one leaves that was needed.
pub(super) fn below_at_ms(
    times: impl DoubleEndedIterator<Item = u32>,
    threshold: u32,
    last_ms: i64,
    seconds: u32,
) -> i64 {
    let nth = usize::try_from(threshold.saturating_sub(1)).unwrap_or(usize::MAX);
    let leaves = |time| long(time, last_ms).saturating_add(i64::from(seconds).saturating_mul(1000));
    times.rev().nth(nth).map_or(last_ms, leaves)
}

/// A count of at most as many as are kept.
pub(super) fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
