//! Ingest: from the bytes of a request to rows that are durable.
//!
//! 1. `budget`: how many bytes of requests may be in memory at once.
//! 2. [`contents`]: from a body to its events.  [`body`]: gzip and zstd, never larger than allowed.  [`firehose`]:
//!    deliveries of Kinesis Data Firehose.  [`mod@decode`]: JSON into columns; a request is taken whole or not at all,
//!    or its faulty events are set aside.
//! 3. [`mod@write`]: the requests of a batch as one Parquet object.
//! 4. `batcher`: requests of one stream share objects.
//! 5. [`system`]: rows that the server writes itself.
//! 6. [`intake`]: the front door, [`Ingest`].
//!
//! **Invariant**: a request is answered with its number of events only after the object that holds all of them is
//! durable. **Invariant**: a request that is refused has stored nothing. **Invariant**: of a request whose faulty
//! events are set aside, each event is in exactly one of the two streams, and both are durable before it is answered.

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

pub use body::ContentEncoding;
pub use budget::Reservation;
pub use contents::{Form, Upload};
pub use decode::{Batch, CommonFields, Fault, Framing, MAX_EVENTS, Sample, Text};
pub use intake::{Ingest, IngestSettings, Origin, StoredEvents, Unstored};
pub use system::SystemWriter;
