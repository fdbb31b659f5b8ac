//! Options of SQL: how much memory, and how much one query may read.

use super::OptionDoc;
use super::value::{GIB, MIB, count, size};

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("query-memory"),
        env: "KEYLOFT_QUERY_MEMORY",
        key: Some("query.memory"),
        default: "512MiB",
        unit: "size",
        doc: "Memory that running queries share; one that needs more fails. A quarter keeps columns while it is free.",
        set: |config, text| {
            config.query.memory_bytes = size(text, 16 * MIB..=1024 * GIB)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("query-max-objects"),
        env: "KEYLOFT_QUERY_MAX_OBJECTS",
        key: Some("query.max_objects"),
        default: "10000",
        unit: "objects",
        doc: "Objects that one query may open; one that would open more is refused. 0: no limit.",
        set: |config, text| {
            config.query.max_objects = count(text, 0..=100_000_000)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("query-max-bytes"),
        env: "KEYLOFT_QUERY_MAX_BYTES",
        key: Some("query.max_bytes"),
        default: "64GiB",
        unit: "size",
        doc: "Size of all objects together that one query may read; one that would read more is refused. 0: no limit.",
        set: |config, text| {
            config.query.max_bytes = size(text, 0..=1024 * 1024 * GIB)? as u64;
            Ok(())
        },
    },
];
