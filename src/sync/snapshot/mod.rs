//! A compacted copy of all keys, for a fast start. The listing decides what is true; a snapshot only spares the reads.
//!
//! 1. [`format`]: the table of contents, and the lines of a part.
//! 2. [`list`]: which snapshots there are, and which have had their day.
//! 3. [`write`], [`load`]: from memory to the bucket and back.
//! 4. [`policy`]: when one is worth writing.

mod format;
mod list;
mod load;
mod policy;
mod write;

pub(super) use list::SnapshotList;
pub(super) use load::{Candidates, load};
pub(super) use policy::SnapshotPolicy;
pub(super) use write::write;
