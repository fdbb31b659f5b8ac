//! Options of compaction: how soon objects of events are merged.

use std::time::Duration;

use super::OptionDoc;
use super::value::duration;

pub(super) const OPTIONS: &[OptionDoc] = &[OptionDoc {
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
}];
