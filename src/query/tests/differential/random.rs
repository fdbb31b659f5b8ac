//! Numbers that a seed decides.

pub(in crate::query::tests) struct Random(u64);

impl Random {
    pub(in crate::query::tests) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in crate::query::tests) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(in crate::query::tests) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(in crate::query::tests) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}
