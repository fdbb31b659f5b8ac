//! What each key was used for: counted in memory, flushed in batches, merged on read.
//!
//! A node counts in memory and writes what it counted since its start to *sheets* of its own, once per flush interval. The
//! sheets of nodes that have ended are *folded* into the archive. Totals are the archive, all sheets that are not in it, and
//! what this node has not flushed yet. A crash loses what was counted since the last flush.
//!
//! 1. [`tally`]: what is counted of one key.  [`book`]: of many.
//! 2. `counters`: counting, off the way of requests.
//! 3. `file`: the bytes of a sheet.  `sheet`: one of this node's, and what of it is durable.  `desk`: all of them.
//! 4. `archive`: what was folded.  `fold`: how.
//! 5. `reader`: what the nodes have written about a tenant, within a bound on memory. `scan`: reading it. `window`: what is
//!    kept of a tenant. `tenant_set`: which objects speak of it.
//! 6. `rows`: the system stream `keyloft_usage`.
//! 7. [`last_use`]: which keys nobody uses.
//! 8. [`meter`]: all of it together. **The front door.** `flush`: what it does now and then.
//!
//! **Invariant**: nothing is counted twice, however flushes, folds and crashes interleave. **Invariant**: only keys that were
//! recognised are counted, so memory is bounded by them.

mod archive;
pub mod book;
mod counters;
mod desk;
mod file;
mod flush;
mod fold;
pub mod last_use;
pub mod meter;
mod reader;
mod rows;
mod scan;
mod sheet;
pub mod tally;
mod tenant_set;
mod window;

pub use book::Book;
pub use last_use::LastUses;
pub use meter::{Meter, Totals, UsageSettings};
pub use tally::{Minute, Tally, Use};
