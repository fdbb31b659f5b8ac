//! Options of SQL: how much memory.

use super::OptionDoc;
use super::value::{GIB, MIB, size};

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
