//! The place of this node in the chain.

use std::collections::BTreeMap;

use crate::clock::Mark;

/// How far this node has read. One task moves it at a time.
#[derive(Debug, Default)]
pub struct Position {
    /// Everything up to this number was read.
    pub seq: u64,
    /// Whether the chain was read from a list once.
    pub is_loaded: bool,
    /// When the store was last known to have nothing newer.
    pub contact: Option<Mark>,
    /// Of each entry that was read or written: when the last of its holds ends.
    pub ends: BTreeMap<u64, i64>,
}
