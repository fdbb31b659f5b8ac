//! Chance that can be thrown again: the same seed gives the same throws.

use parking_lot::Mutex;

#[derive(Debug)]
pub struct Dice(Mutex<u64>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        let mut state = self.0.lock();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % end.max(1)
    }

    pub fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// Whether it happens, so often in a thousand.
    pub fn in_a_thousand(&self, often: u64) -> bool {
        self.below(1000) < often
    }
}
