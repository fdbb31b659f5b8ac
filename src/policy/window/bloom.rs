//! Which keys were met lately, in a few bits for each.

/// How many bits are set for a key.
const HASHES: u64 = 8;
/// Bits of each filter for a key: one in 1,700 keys passes for met that was not.
const BITS_PER_KEY: usize = 16;

/// Two Bloom filters. A key is remembered for at least as many others as they have room for, and at most for twice as
/// many: when the younger one is full, it becomes the older one, and the older one is emptied.
#[derive(Debug)]
pub(super) struct Bloom {
    young: Vec<u64>,
    old: Vec<u64>,
    added: usize,
    keys: usize,
}

impl Bloom {
    /// The bytes that filters for so many keys take.
    pub const fn bytes(keys: usize) -> usize {
        Self::words(keys).saturating_mul(2 * 8)
    }

    const fn words(keys: usize) -> usize {
        keys.saturating_mul(BITS_PER_KEY).div_ceil(64)
    }

    /// Filters for so many keys. They take memory from the first key on.
    pub const fn new(keys: usize) -> Self {
        Self { young: Vec::new(), old: Vec::new(), added: 0, keys }
    }

    /// Remembers a key.
    pub fn add(&mut self, key: u128) {
        if self.young.is_empty() {
            self.young = vec![0; Self::words(self.keys)];
            self.old = vec![0; Self::words(self.keys)];
        }
        if self.added >= self.keys {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.fill(0);
            self.added = 0;
        }
        for (word, bit) in places(key, self.young.len()) {
            if let Some(word) = self.young.get_mut(word) {
                *word |= bit;
            }
        }
        self.added = self.added.saturating_add(1);
    }

    /// Whether a key is remembered, or passes for one that is.
    pub fn has(&self, key: u128) -> bool {
        let in_filter = |filter: &[u64]| {
            !filter.is_empty()
                && places(key, filter.len()).all(|(word, bit)| filter.get(word).is_some_and(|word| word & bit != 0))
        };
        in_filter(&self.young) || in_filter(&self.old)
    }
}

/// The bits of a key, as words and masks, by double hashing. The key is as good as random already.
fn places(key: u128, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let [first, second] = [key, key >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
    let bits = u64::try_from(words).unwrap_or_default().saturating_mul(64).max(1);
    (0..HASHES).map(move |round| {
        let hash = first.wrapping_add(round.wrapping_mul(second | 1));
        let bit = u64::try_from((u128::from(hash) * u128::from(bits)) >> 64).unwrap_or_default();
        (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> u128 {
        // As spread as an HMAC.
        let mix = |n: u64| {
            let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            n ^ (n >> 31)
        };
        u128::from(mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15))) << 64 | u128::from(mix(!number))
    }

    #[test]
    fn keys_are_remembered_and_few_others_pass_for_them() {
        let mut bloom = Bloom::new(10_000);
        assert!(!bloom.has(key(0)));
        (0..10_000).for_each(|number| bloom.add(key(number)));
        assert!((0..10_000).all(|number| bloom.has(key(number))));
        let wrong = (10_000..110_000).filter(|number| bloom.has(key(*number))).count();
        assert!(wrong < 200, "{wrong} of 100,000");
    }

    #[test]
    fn a_key_is_forgotten_after_twice_as_many_others() {
        let mut bloom = Bloom::new(1000);
        (0..2000).for_each(|number| bloom.add(key(number)));
        assert!((0..2000).all(|number| bloom.has(key(number))));
        (2000..3001).for_each(|number| bloom.add(key(number)));
        assert!((0..1000).filter(|number| bloom.has(key(*number))).count() < 10);
        assert_eq!(Bloom::bytes(1000), 4000);
    }
}
