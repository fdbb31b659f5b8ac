//! A compacted copy of all keys and tenants, for a fast start.
//!
//! 1. [`manifest`]: the table of contents.  [`part`], [`line`]: the bytes of the rest.  [`contents`]: what all that
//!    holds.
//! 2. [`list`]: which snapshots there are, and which have had their day.
//! 3. [`write`], [`load`]: from memory to the bucket and back.
//! 4. [`policy`]: when one is worth writing.

mod contents;
mod line;
mod list;
mod load;
mod manifest;
mod part;
mod policy;
mod write;

pub(super) use contents::Contents;
pub(super) use list::SnapshotList;
pub(super) use load::load;
pub(super) use policy::SnapshotPolicy;
pub(super) use write::write;
