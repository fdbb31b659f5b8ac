//! Answering SQL: how much memory.

use super::OptionDoc;
use super::value::{GIB, MIB, size};

/// Bounds of the query engine.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Memory that all running queries share, in bytes; a query that needs more fails.
    pub memory_bytes: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self { memory_bytes: 512 * MIB }
    }
}

pub(super) const OPTIONS: &[OptionDoc] = &[OptionDoc {
    flag: Some("query-memory"),
    env: "KEYLOFT_QUERY_MEMORY",
    key: Some("query.memory"),
    default: "512MiB",
    unit: "size",
    doc: "Memory that all running queries share; a query that needs more fails.",
    set: |config, text| {
        config.query.memory_bytes = size(text, 16 * MIB..=1024 * GIB)?;
        Ok(())
    },
}];
