//! The text of a request, read straight into columns.
//!
//! Nested objects are flattened with `_`, arrays are kept as JSON text, `null` fits everything and creates nothing. The
//! first fault refuses the whole request, or only its event ([`sort`]); the message names the place and the field,
//! never a value.
//!
//! 1. `refusal`: where and why an event is refused.
//! 2. `names`: names met before, as a tree.
//! 3. `column`: one column as it grows.  `batch`: all columns, and where their values came from.
//! 4. `literal`: numbers as they were written.
//! 5. `common`: fields that every event has.  `table`: all of that together.
//! 6. `event`, `array`: what `serde_json` drives.
//! 7. `framing`: how events stand in a text, and all of it in order: `decode`.
//! 8. `stage`, `rejected`, `quarantine`: the same for a request of which only the faulty events are set aside.

mod array;
mod batch;
mod column;
mod common;
mod event;
mod framing;
mod literal;
mod names;
mod quarantine;
mod refusal;
mod rejected;
mod stage;
mod table;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Decoded, Places};
pub use common::CommonFields;
pub(super) use framing::decode;
pub use framing::{Framing, Text};
pub(super) use quarantine::{Sorted, sort};
pub use refusal::{Fault, MAX_EVENTS, Place};
pub use rejected::{Rejected, Sample};
