//! Some of many decisions: each has the same chance, and the same events give the same ones.

use std::collections::BTreeMap;

use serde_json::Value;

/// How many are shown.
pub const SAMPLES: usize = 20;

/// The decisions with the lowest hashes of their numbers.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<u64, (u64, Value)>);

impl Samples {
    /// Offers the decision of this number; what it shows is made only if it is taken.
    pub fn offer(&mut self, number: u64, shown: impl FnOnce() -> Option<Value>) {
        let hash = mixed(number);
        let is_full = self.0.len() >= SAMPLES;
        if is_full && self.0.last_key_value().is_some_and(|(last, _)| *last < hash) {
            return;
        }
        let Some(shown) = shown() else { return };
        self.0.insert(hash, (number, shown));
        if self.0.len() > SAMPLES {
            self.0.pop_last();
        }
    }

    /// What they show, in the order of their numbers.
    pub fn shown(self) -> Vec<Value> {
        let in_order: BTreeMap<u64, Value> = self.0.into_values().collect();
        in_order.into_values().collect()
    }
}

/// A number whose bits are spread (`SplitMix64`), one to one.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_all_are_shown_in_order_and_all_of_a_few() {
        let of = |count: u64| {
            let mut samples = Samples::default();
            (0..count).for_each(|number| samples.offer(number, || Some(number.into())));
            samples.shown().iter().map(|shown| shown.as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of(3), [0, 1, 2]);
        let many = of(100_000);
        assert!(many.len() == SAMPLES && many.is_sorted());
        assert!(many[0] < 30_000 && many[SAMPLES - 1] > 70_000, "{many:?}");
        assert_eq!(of(100_000), many);
    }
}
