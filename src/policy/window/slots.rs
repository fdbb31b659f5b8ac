//! Counts of a window in sixteenths of its length.

/// How many parts a window has.
const PARTS: i64 = 16;
/// The part at hand, and those that overlap the window behind it.
pub(super) const KEPT: usize = 17;

/// How many events fell into each sixteenth of a window. The sum counts all events of the window, and of at most one
/// sixteenth more.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    counts: [u32; KEPT],
    /// The number of the youngest part.
    now: i64,
    seconds: u32,
}

impl Slots {
    /// No events, at a time.
    pub fn new(seconds: u32, at_ms: i64) -> Self {
        Self { counts: [0; KEPT], now: part(seconds, at_ms), seconds }
    }

    /// Those that were counted elsewhere, up to a part.
    pub fn of(now: i64, counts: [u32; KEPT], seconds: u32) -> Self {
        Self { counts, now, seconds }
    }

    /// Counts an event. Time does not run back: an older one counts in its own part while that is kept.
    pub fn add(&mut self, at_ms: i64) {
        let at = part(self.seconds, at_ms);
        if at > self.now {
            let first = self.now.saturating_add(1).max(at.saturating_sub(PARTS));
            (first..=at).for_each(|part| self.set(part, 0));
            self.now = at;
        }
        if self.now.saturating_sub(at) <= PARTS {
            let count = self.get(at).saturating_add(1);
            self.set(at, count);
        }
    }

    /// How many events the window holds that ends at a time.
    pub fn count(&self, at_ms: i64) -> u32 {
        let oldest = part(self.seconds, at_ms).saturating_sub(PARTS).max(self.now.saturating_sub(PARTS));
        (oldest..=self.now).fold(0, |sum: u32, part| sum.saturating_add(self.get(part)))
    }

    /// When the window holds fewer events than `threshold`, if no more come.
    pub fn below_at_ms(&self, threshold: u32) -> i64 {
        let mut sum = 0u32;
        let crossing = (self.now.saturating_sub(PARTS)..=self.now).rev().find(|part| {
            sum = sum.saturating_add(self.get(*part));
            sum >= threshold
        });
        let leaves = crossing.map_or(self.now, |part| part.saturating_add(PARTS).saturating_add(1));
        let length = i64::from(self.seconds).saturating_mul(1000);
        leaves.saturating_mul(length).saturating_add(PARTS - 1).div_euclid(PARTS)
    }

    fn get(&self, part: i64) -> u32 {
        place(part).and_then(|at| self.counts.get(at)).copied().unwrap_or_default()
    }

    fn set(&mut self, part: i64, count: u32) {
        if let Some(place) = place(part).and_then(|at| self.counts.get_mut(at)) {
            *place = count;
        }
    }
}

/// The number of the part into which a time falls.
fn part(seconds: u32, at_ms: i64) -> i64 {
    at_ms.saturating_mul(PARTS).div_euclid(i64::from(seconds.max(1)).saturating_mul(1000))
}

fn place(part: i64) -> Option<usize> {
    usize::try_from(part.rem_euclid(i64::try_from(KEPT).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_leaves_at_the_end_of_its_sixteenth() {
        let mut slots = Slots::new(16, 0);
        slots.add(0);
        slots.add(999);
        slots.add(1000);
        assert_eq!([0, 1000, 15_999, 16_000, 16_999].map(|at| slots.count(at)), [3; 5]);
        assert_eq!([17_000, 17_999, 18_000, 99_000].map(|at| slots.count(at)), [1, 1, 0, 0]);
        assert_eq!([1, 2, 3, 4].map(|threshold| slots.below_at_ms(threshold)), [18_000, 17_000, 17_000, 1000]);
    }

    proptest! {
        #[test]
        fn a_count_is_never_less_than_the_window_and_never_more_than_a_sixteenth_longer(
            seconds in 1u32..5, gaps in prop::collection::vec(0i64..700, 1..200), start in -5000i64..5000,
        ) {
            let (mut slots, mut at, mut times) = (Slots::new(seconds, start), start, Vec::new());
            for gap in gaps {
                at += gap;
                slots.add(at);
                times.push(at);
                let length = i64::from(seconds) * 1000;
                let within = |length: i64| times.iter().filter(|time| **time > at - length).count();
                let count = usize::try_from(slots.count(at)).unwrap();
                prop_assert!(within(length) <= count && count <= within(length + length / 16 + 1));
                let below = slots.below_at_ms(1);
                prop_assert!(slots.count(below) == 0 && slots.count(below - 1) > 0);
            }
        }
    }
}
