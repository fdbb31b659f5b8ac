//! `keyloft import parseable`: the API keys that Parseable keeps in its bucket, in clear text.
//!
//! 1. `document`: their format, in a file each and in the metadata.
//! 2. `source`: finding them in the bucket, and removing them there.
//! 3. `machines`: what becomes of keys that manage.
//! 4. `run`: all of it, in order.

mod document;
mod machines;
mod run;
mod source;

pub use run::ParseableArgs;
pub(super) use run::{EXAMPLES, run};
