//! Columns that queries read more than once, decoded and kept in memory.
//!
//! An object never changes, and dashboards ask for the same recent objects again and again: most of the time of such a
//! query went into decompressing and decoding them. DataFusion 55 keeps footers only.
//!
//! - [`columns`]: what is kept, and how much that may be.
//! - [`chunk`]: the values of one column in one row group. Texts that repeat are stored once.
//! - [`scan`]: reads objects through what is kept.
//!
//! What is kept is found by the footer of its object, and a footer by the name, the size and the time of an object that
//! was listed for this very query. So nothing is read from memory that the query could not have read from the store.

mod chunk;
mod columns;
mod scan;
#[cfg(test)]
mod tests;

pub(super) use self::columns::{KeptColumns, sweep};
pub(super) use self::scan::{Keeping, KeptScan};
