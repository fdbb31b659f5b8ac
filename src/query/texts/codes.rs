//! Numbers for texts.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder, StringViewArray, UInt32Array};
use arrow::compute::{TakeOptions, cast, take};
use arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use hashbrown::HashTable;

/// Texts, numbered in the order in which they came. `null` is one of them.
#[derive(Debug, Default)]
pub(super) struct Codes {
    random: RandomState,
    codes: HashTable<u32>,
    texts: StringBuilder,
    null: Option<u32>,
}

impl Codes {
    /// How many texts there are.
    pub(super) fn len(&self) -> usize {
        self.texts.offsets_slice().len() - 1
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        self.codes.capacity() * 8 + std::mem::size_of_val(self.texts.offsets_slice()) + self.texts.values_slice().len()
    }

    /// The number of the text at `row`.
    pub(super) fn of(&mut self, texts: &StringViewArray, row: usize) -> u32 {
        let next = self.len() as u32;
        if texts.is_null(row) {
            return *self.null.get_or_insert_with(|| {
                self.texts.append_null();
                next
            });
        }
        let text = texts.value(row);
        let (random, known) = (&self.random, &self.texts);
        let is_it = |code: &u32| of_code(known, *code) == text.as_bytes() && self.null != Some(*code);
        let hash = random.hash_one(text);
        if let Some(code) = self.codes.find(hash, is_it) {
            return *code;
        }
        self.codes.insert_unique(hash, next, |code| random.hash_one(of_code(known, *code)));
        self.texts.append_value(text);
        next
    }

    /// The texts of these numbers.
    ///
    /// # Errors
    /// When there is no such number.
    pub(super) fn texts(&self, codes: &ArrayRef) -> Result<ArrayRef> {
        let Some(codes) = codes.as_any().downcast_ref::<UInt32Array>() else {
            return internal_err!("numbers of texts are of type {}", codes.data_type());
        };
        let texts: StringArray = self.texts.finish_cloned();
        let texts: ArrayRef = Arc::new(texts);
        Ok(take(&cast(&texts, &DataType::Utf8View)?, codes, Some(TakeOptions { check_bounds: true }))?)
    }
}

fn of_code(texts: &StringBuilder, code: u32) -> &[u8] {
    let ends = &texts.offsets_slice()[code as usize..];
    &texts.values_slice()[ends[0] as usize..ends[1] as usize]
}
