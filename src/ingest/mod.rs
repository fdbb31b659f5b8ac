//! Ingest: from the bytes of a request to rows that are durable.
//!
//! 1. [`settings`]: the bounds, and who sends.
//! 2. [`body`]: gzip and zstd, never larger than allowed.
//! 3. [`mod@decode`]: JSON into columns; a request is taken whole or not at all.
//! 4. [`mod@write`]: the batches of a group as one Parquet object.
//! 5. `budget`: how many bytes may be under way at once.
//! 6. `group`: one group of requests made durable, each with its own answer.
//! 7. `lane`: the waiting requests of one stream, and when they leave together.
//! 8. [`commit`]: the front door, [`Ingest`].
//!
//! **Invariant**: a request is answered with its number of events only after the object that holds all of them is
//! durable. **Invariant**: a request that is refused has stored nothing.

pub mod body;
mod budget;
pub mod commit;
pub mod decode;
mod group;
mod lane;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod write;

pub use body::{ContentEncoding, Upload, inflate};
pub use commit::{Ingest, Unstored};
pub use decode::{Batch, CommonFields, Decoded, Framing, MAX_EVENTS, Places, Text, decode};
pub use settings::{IngestSettings, Origin};
