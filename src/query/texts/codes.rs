//! Numbers for texts, and for tuples of texts.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, LargeStringBuilder, StringViewArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use hashbrown::HashTable;

use super::distinct::{Distinct, Seeds};

/// How many pairs of texts of a batch are looked at, whether they occur or not.
const MAX_PAIRS: usize = 64 * 1024;

/// Tuples of texts, numbered from 0 on in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Tuples {
    first: Codes,
    /// For each further column its texts, and the tuples that end with it.
    further: Vec<(Codes, Pairs)>,
}

/// Pairs of the number of a tuple and that of the text that makes it longer by one.
#[derive(Debug, Default)]
struct Pairs {
    numbers: HashMap<(u32, u32), u32>,
    pairs: Vec<(u32, u32)>,
}

impl Tuples {
    /// None yet, of so many texts each.
    pub(super) fn of(columns: usize) -> Self {
        Self { first: Codes::default(), further: (1..columns).map(|_| Default::default()).collect() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.further.last().map_or(self.first.len(), |(_, pairs)| pairs.pairs.len())
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        let further = self.further.iter().map(|(codes, pairs)| codes.size() + pairs.pairs.capacity() * 40);
        self.first.size() + further.sum::<usize>()
    }

    /// The number of the tuple of each row; `None` when texts repeat too rarely.
    pub(super) fn numbers(&mut self, columns: &[&StringViewArray], seeds: &Seeds) -> Option<Vec<usize>> {
        let (first, others) = columns.split_first()?;
        let Distinct { mut places, rows } = Distinct::of(first, seeds)?;
        // For each place, what stands there.
        let mut numbers: Vec<u32> = rows.iter().map(|row| self.first.number(first, *row as usize)).collect();
        for (texts, (codes, pairs)) in others.iter().zip(&mut self.further) {
            let Distinct { places: next, rows } = Distinct::of(texts, seeds)?;
            let next_numbers: Vec<u32> = rows.iter().map(|row| codes.number(texts, *row as usize)).collect();
            let width = next_numbers.len();
            if numbers.len() * width > MAX_PAIRS {
                return None;
            }
            // For each pair of places its own, plus one.
            let mut of_pairs = vec![0_u32; numbers.len() * width];
            let mut longer = Vec::new();
            for (place, next) in places.iter_mut().zip(&next) {
                let (left, right) = (*place as usize, *next as usize);
                let of_pair = &mut of_pairs[left * width + right];
                if *of_pair == 0 {
                    longer.push(pairs.number((numbers[left], next_numbers[right])));
                    *of_pair = longer.len() as u32;
                }
                *place = *of_pair - 1;
            }
            numbers = longer;
        }
        Some(places.iter().map(|place| numbers[*place as usize] as usize).collect())
    }

    /// The texts of all tuples, in columns.
    ///
    /// # Errors
    /// Those of the library, for columns that it cannot make.
    pub(super) fn columns(&self) -> Result<Vec<ArrayRef>> {
        let mut numbers: Vec<u32> = (0..self.len() as u32).collect();
        let mut columns = Vec::new();
        for (codes, Pairs { pairs, .. }) in self.further.iter().rev() {
            let last: Vec<u32> = numbers.iter().map(|number| pairs[*number as usize].1).collect();
            columns.push(codes.texts(last)?);
            numbers.iter_mut().for_each(|number| *number = pairs[*number as usize].0);
        }
        columns.push(self.first.texts(numbers)?);
        columns.reverse();
        Ok(columns)
    }
}

impl Pairs {
    fn number(&mut self, pair: (u32, u32)) -> u32 {
        *self.numbers.entry(pair).or_insert_with(|| {
            self.pairs.push(pair);
            self.pairs.len() as u32 - 1
        })
    }
}

/// Texts, numbered as [`Tuples`] are. `null` is one of them.
#[derive(Debug, Default)]
struct Codes {
    random: RandomState,
    numbers: HashTable<u32>,
    /// Many long texts pass what offsets of 32 bits can count.
    texts: LargeStringBuilder,
    null: Option<u32>,
}

impl Codes {
    fn len(&self) -> usize {
        self.texts.offsets_slice().len() - 1
    }

    fn size(&self) -> usize {
        self.numbers.capacity() * 8
            + std::mem::size_of_val(self.texts.offsets_slice())
            + self.texts.values_slice().len()
    }

    /// The number of the text at `row`.
    fn number(&mut self, texts: &StringViewArray, row: usize) -> u32 {
        let next = self.len() as u32;
        if texts.is_null(row) {
            return *self.null.get_or_insert_with(|| {
                self.texts.append_null();
                next
            });
        }
        let text = texts.value(row);
        let (random, known) = (&self.random, &self.texts);
        let hash = random.hash_one(text.as_bytes());
        if let Some(number) = self.numbers.find(hash, |number| text_of(known, *number) == text.as_bytes()) {
            return *number;
        }
        self.numbers.insert_unique(hash, next, |number| random.hash_one(text_of(known, *number)));
        self.texts.append_value(text);
        next
    }

    fn texts(&self, numbers: Vec<u32>) -> Result<ArrayRef> {
        let texts: ArrayRef = Arc::new(self.texts.finish_cloned());
        let texts = cast(&texts, &DataType::Utf8View)?;
        Ok(take(&texts, &UInt32Array::from(numbers), None)?)
    }
}

fn text_of(texts: &LargeStringBuilder, number: u32) -> &[u8] {
    let ends = &texts.offsets_slice()[number as usize..];
    &texts.values_slice()[ends[0] as usize..ends[1] as usize]
}
