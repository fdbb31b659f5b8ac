//! A compacted copy of all keys, for a fast start. The listing decides what is true; a snapshot only spares the reads.
//!
//! 1. [`format`]: the table of contents, and the lines of a part.
//! 2. [`shelf`]: which snapshots there are, and which have had their day.
//! 3. [`write`], [`load`]: from memory to the bucket and back.
//! 4. [`need`]: when one is worth writing.

mod format;
mod load;
mod need;
mod shelf;
mod write;

pub(super) use load::{Candidates, load};
pub(super) use need::Need;
pub(super) use shelf::Shelf;
pub(super) use write::write;
