//! The texts of a batch that differ.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, StringViewArray};

/// Slots of the table, a power of two: few enough to stay in the cache of a processor.
const SLOTS: usize = 1 << TABLE_BITS;
const TABLE_BITS: u32 = 12;
/// How many texts are kept apart at most.
const MAX_TEXTS: usize = SLOTS / 2;
/// So few texts are always kept apart.
const FEW: usize = 256;
/// How many slots are tried. More are only needed where texts were chosen for it.
const MAX_STEPS: usize = 64;

/// Which text each row of a batch has.
pub(super) struct Distinct {
    /// For each row, the place of its text in `rows`.
    pub(super) places: Vec<u32>,
    /// For each text a row that has it. A text may stand here more than once.
    pub(super) rows: Vec<u32>,
}

/// Random multipliers, so that nobody can choose texts that fall into one slot.
#[derive(Debug, Clone)]
pub(super) struct Seeds {
    low: u64,
    high: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        let random = RandomState::new();
        Self { low: random.hash_one(0_u8) | 1, high: random.hash_one(1_u8) | 1 }
    }
}

impl Seeds {
    fn slot(&self, view: u128) -> usize {
        let mixed = (view as u64).wrapping_mul(self.low) ^ ((view >> 64) as u64).wrapping_mul(self.high);
        (mixed >> (u64::BITS - TABLE_BITS)) as usize
    }
}

impl Distinct {
    /// The distinct texts of a batch; `None` when they repeat too rarely for that to gain anything.
    pub(super) fn of(texts: &StringViewArray, seeds: &Seeds) -> Option<Self> {
        let most = (texts.len() / 4).clamp(FEW, MAX_TEXTS);
        // A slot has the place of a text, plus one.
        let mut slots = [0_u32; SLOTS];
        let mut seen: Vec<u128> = Vec::with_capacity(FEW);
        let mut found = Self { places: Vec::with_capacity(texts.len()), rows: Vec::with_capacity(FEW) };
        let nulls = texts.nulls().filter(|nulls| nulls.null_count() > 0);
        let mut null = None;
        for (row, view) in texts.views().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                let place = *null.get_or_insert_with(|| {
                    // No slot leads here.
                    found.rows.push(row as u32);
                    seen.push(*view);
                    seen.len() as u32 - 1
                });
                found.places.push(place);
                continue;
            }
            let first = seeds.slot(*view);
            let mut steps = 0;
            let place = loop {
                let slot = &mut slots[(first + steps) % SLOTS];
                if *slot == 0 {
                    if seen.len() >= most {
                        return None;
                    }
                    seen.push(*view);
                    found.rows.push(row as u32);
                    *slot = seen.len() as u32;
                }
                if seen[*slot as usize - 1] == *view {
                    break *slot - 1;
                }
                steps += 1;
                if steps > MAX_STEPS {
                    return None;
                }
            };
            found.places.push(place);
        }
        Some(found)
    }
}
