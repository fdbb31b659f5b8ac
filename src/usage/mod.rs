//! What each key was used for: counted in memory, flushed in batches, merged on read.
//!
//! A node counts in memory and writes its counts since its start to *segments* of its own, once per flush interval. The
//! segments of nodes that have ended are merged into the *archive*. Totals are the archive, all segments that are not
//! in it, and what this node has not flushed yet. A crash loses the counts since the last flush.
//!
//! 1. [`tally`]: the counts of one key.  [`table`]: of many.
//! 2. `counters`: counting, off the path of requests.
//! 3. `file`: the bytes of a segment.  `segment`: a segment of this node, and what of it is durable.  `node_counters`:
//!    all of them.
//! 4. `archive`: the document of the archive.  `compact`: merging segments into it.
//! 5. `reader`: what the nodes have written about a tenant, within a bound on memory. `scan`: reading it. `window`:
//!    what is kept of a tenant. `tenant_set`: the tenants of an object.
//! 6. `rows`: the system stream `keyloft_usage`.
//! 7. [`last_use`]: which keys are unused.
//! 8. [`meter`]: all of it together. **The front door.** `flush`: its background work.
//!
//! **Invariant**: nothing is counted twice, however flushes, compactions and crashes interleave. **Invariant**: only
//! known keys are counted, so they bound the memory of counting.

mod archive;
mod compact;
mod counters;
mod file;
mod flush;
pub mod last_use;
pub mod meter;
mod node_counters;
mod reader;
mod rows;
mod scan;
mod segment;
pub mod table;
pub mod tally;
mod tenant_set;
mod window;

pub use last_use::LastUses;
pub use meter::{Meter, Totals, UsageSettings};
pub use table::UsageTable;
pub use tally::{Tally, UsageMinute, Use};
