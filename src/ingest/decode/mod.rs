//! The text of a request, read straight into columns.
//!
//! Nested objects are flattened with `_`, arrays are kept as JSON text, `null` fits everything and creates nothing. The
//! first fault refuses the whole request, or only its event ([`sort`]); the message names the place and the field, never a value.
//!
//! 1. `place`, `refusal`: where and why an event is refused.
//! 2. `names`: names met before, as a tree.
//! 3. `column`: one column as it grows.  `places`: where its values came from.
//! 4. `literal`: numbers as they were written.
//! 5. `common`: fields that every event has.  `table`: all of that together.
//! 6. `event`, `array`: what `serde_json` drives.
//! 7. `framing`: how events stand in a text.
//! 8. `stage`, `rejected`, `quarantine`: the same for a request of which only the faulty events are set aside.

mod array;
mod column;
mod common;
mod event;
mod framing;
mod literal;
mod names;
mod place;
mod places;
mod quarantine;
mod refusal;
mod rejected;
mod stage;
mod table;
#[cfg(test)]
mod tests;

use arrow::array::{Array, ArrayRef};

pub use self::common::CommonFields;
pub use self::framing::{Framing, Text};
pub use self::place::Place;
pub use self::places::Places;
pub(super) use self::quarantine::{Sorted, sort};
pub use self::refusal::Fault;
#[cfg(test)]
use self::rejected::MAX_REJECTED_TEXT_BYTES;
pub use self::rejected::{Rejected, Sample};
use self::table::Table;
use super::budget::Reservation;
use crate::error::Result;
use crate::stream::Field;

/// How many events one request may have.
pub const MAX_EVENTS: usize = 100_000;
/// How deep an event may be nested, itself counted.
pub const MAX_DEPTH: usize = 64;
/// How many cells one request may have, events times fields: 64 MB of numbers.
pub const MAX_CELLS: usize = 8_000_000;

/// The events of one request as columns, all of the same length.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The fields, in the order in which they first came; none only ever `null`.
    pub fields: Vec<Field>,
    /// How many events.
    pub rows: usize,
    /// One column for each field, of the Arrow type of that field.
    pub columns: Vec<ArrayRef>,
}

impl Batch {
    /// About how much memory it takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }
}

/// The events of a request, and where they came from.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The events.
    pub batch: Batch,
    /// Where each field came to hold what it holds.
    pub places: Places,
}

/// Reads the texts of a request in their order; each event gets the `common` fields too. A request without events is an
/// empty batch. What the columns fill is added to `memory` first. Linear in the size of the texts.
///
/// # Errors
/// [`crate::ErrorKind::Invalid`] when anything in a text is wrong, [`crate::ErrorKind::TooLarge`] when there are more than
/// [`MAX_EVENTS`] or [`MAX_CELLS`], [`crate::ErrorKind::Unavailable`] when there is no memory for them.
pub(super) fn decode(texts: &[Text<'_>], common: &CommonFields, memory: &mut Reservation) -> Result<Decoded> {
    let mut table = Table::new(common, memory).map_err(|refusal| refusal.at(Place::default()))?;
    for text in texts {
        text.read(&mut table)?;
    }
    Ok(table.finish())
}
