//! Options of compaction and retention: how soon objects of events are merged, and how long events are kept.

use std::time::Duration;

use super::OptionDoc;
use super::value::{GIB, MIB, duration, size};
use crate::key::RetentionDays;

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("compaction-interval"),
        env: "KEYLOFT_COMPACTION_INTERVAL",
        key: Some("compaction.interval"),
        default: "60s",
        unit: "duration",
        doc: "How long after a write a node merges the small objects of a stream into larger ones, give or take a fifth; 0s never does.",
        set: |config, text| {
            let interval = duration(text, Duration::ZERO..=Duration::from_secs(3600))?;
            if !interval.is_zero() && interval < Duration::from_millis(100) {
                return Err("must be 0s, or at least 100ms".to_owned());
            }
            config.compaction.interval = (!interval.is_zero()).then_some(interval);
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("stream-retention"),
        env: "KEYLOFT_STREAM_RETENTION",
        key: Some("compaction.stream_retention"),
        default: "none",
        unit: "days",
        doc: "How long events are kept where neither their stream nor its tenant says, in whole days such as 30d; 0d is for ever.",
        set: |config, text| {
            if text == "none" {
                config.compaction.retention = None;
                return Ok(());
            }
            let days: RetentionDays = text.parse().map_err(|error: crate::key::InvalidId| error.to_string())?;
            config.compaction.retention = (days.days() > 0).then_some(days);
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("compact-memory"),
        env: "KEYLOFT_COMPACT_MEMORY",
        key: Some("compaction.memory"),
        default: "256MiB",
        unit: "size",
        doc: "How much memory a step of merging plans with; below 256 MiB, no object of 128 MiB is made.",
        set: |config, text| {
            config.compaction.memory = size(text, 64 * MIB..=4 * GIB)?;
            Ok(())
        },
    },
];
