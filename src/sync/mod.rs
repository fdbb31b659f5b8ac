//! Keeping memory equal to the bucket.
//!
//! 1. [`reconcile`]: list, read, compare; one routine for the start, for repair and for changes made by hand.

mod reconcile;

pub use reconcile::{Counts, reconcile};
