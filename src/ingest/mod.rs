//! Ingest: from the bytes of a request to rows that are durable.
//!
//! 1. [`body`]: gzip and zstd, never larger than allowed.
//! 2. [`contents`]: what is in a body.  [`firehose`]: deliveries of Kinesis Data Firehose.
//!    [`mod@decode`]: JSON into columns; a request is taken whole or not at all, or its faulty events are set aside.
//! 3. [`mod@write`]: the requests of a batch as one Parquet object.
//! 4. `budget`: how many bytes of requests may be in memory at once.
//! 5. `batcher`: requests of one stream share objects.
//! 6. [`system`]: rows that the server writes itself.
//! 7. [`intake`]: the front door, [`Ingest`].
//!
//! **Invariant**: a request is answered with its number of events only after the object that holds all of them is
//! durable. **Invariant**: a request that is refused has stored nothing. **Invariant**: of a request whose faulty events are
//! set aside, each event is in exactly one of the two streams, and both are durable before it is answered.

mod batcher;
pub mod body;
mod budget;
pub mod contents;
pub mod decode;
pub mod firehose;
pub mod intake;
pub mod system;
#[cfg(test)]
mod tests;
pub mod write;

pub use body::{ContentEncoding, Upload, inflate};
pub use budget::Reservation;
pub use contents::Form;
pub use decode::{Batch, CommonFields, Decoded, Fault, Framing, MAX_EVENTS, Places, Sample, Text, decode};
pub use intake::{Ingest, IngestSettings, Origin, Stored, Unstored};
pub use system::SystemWriter;
