//! The distinct texts of a batch.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, StringViewArray};

/// Slots of the table, a power of two: few enough to stay in the cache of a processor.
const SLOTS: usize = 1 << TABLE_BITS;
const TABLE_BITS: u32 = 12;
/// The most distinct texts of a batch; a batch with more is not deduplicated.
const MAX_TEXTS: usize = SLOTS / 2;
/// Up to this many distinct texts, every batch is deduplicated.
const FEW: usize = 256;
/// How many slots are probed. Only texts that were chosen to collide need more.
const MAX_STEPS: usize = 64;

/// A view that no text has, because its length would be too large.
const NO_VIEW: u128 = u128::MAX;

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
        let mut seen = Seen { seeds, slots: [0; SLOTS], views: Vec::with_capacity(FEW), rows: Vec::new(), most };
        let mut places = vec![0; texts.len()];
        let rows = texts.views().iter().zip(&mut places).enumerate();
        match texts.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for (row, (view, place)) in rows {
                    *place = seen.place(*view, row)?;
                }
            }
            Some(nulls) => {
                let mut null = None;
                for ((row, (view, place)), is_text) in rows.zip(nulls) {
                    *place = match is_text {
                        true => seen.place(*view, row)?,
                        false => *null.get_or_insert_with(|| seen.add(NO_VIEW, row)),
                    };
                }
            }
        }
        Some(Self { places, rows: seen.rows })
    }
}

/// The texts of the rows so far.
struct Seen<'a> {
    seeds: &'a Seeds,
    /// The place of the text in each slot. The first text needs no slot, because empty slots (0) lead to it.
    slots: [u32; SLOTS],
    /// The view of the text at each place.
    views: Vec<u128>,
    rows: Vec<u32>,
    most: usize,
}

impl Seen<'_> {
    /// The place of a text, which is added if need be; `None` when there are too many.
    #[inline]
    fn place(&mut self, view: u128, row: usize) -> Option<u32> {
        let place = self.slots[self.seeds.slot(view)];
        match self.views.get(place as usize) {
            Some(there) if *there == view => Some(place),
            _ => self.search(view, row),
        }
    }

    /// The same for a text that is not at its first slot: probes further slots.
    #[cold]
    fn search(&mut self, view: u128, row: usize) -> Option<u32> {
        match self.views.first() {
            None => return Some(self.add(view, row)),
            Some(first) if *first == view => return Some(0),
            Some(_) => {}
        }
        let first = self.seeds.slot(view);
        for step in 0..MAX_STEPS {
            let slot = (first + step) % SLOTS;
            let place = self.slots[slot];
            if place == 0 {
                let is_full = self.views.len() >= self.most;
                return (!is_full).then(|| {
                    self.slots[slot] = self.add(view, row);
                    self.slots[slot]
                });
            }
            if self.views[place as usize] == view {
                return Some(place);
            }
        }
        None
    }

    fn add(&mut self, view: u128, row: usize) -> u32 {
        self.views.push(view);
        self.rows.push(row as u32);
        self.views.len() as u32 - 1
    }
}
