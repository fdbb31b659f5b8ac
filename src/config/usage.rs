//! Options of usage: whether it is recorded, and how often it is flushed.

use std::time::Duration;

use super::OptionDoc;
use super::value::{duration, switch};

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("usage-flush-interval"),
        env: "KEYLOFT_USAGE_FLUSH_INTERVAL",
        key: Some("usage.flush_interval"),
        default: "60s",
        unit: "duration",
        doc: "How often a node writes the usage of keys, give or take a fifth. A crash loses at most this much; 0s records nothing.",
        set: |config, text| {
            let interval = duration(text, Duration::ZERO..=Duration::from_secs(24 * 3600))?;
            if !interval.is_zero() && interval < Duration::from_millis(100) {
                return Err("must be 0s, or at least 100ms".to_owned());
            }
            config.usage.flush_interval = (!interval.is_zero()).then_some(interval);
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("usage-stream"),
        env: "KEYLOFT_USAGE_STREAM",
        key: Some("usage.stream"),
        default: "true",
        unit: "true or false",
        doc: "Also writes usage as rows of the system stream keyloft_usage: one object per interval and tenant in use.",
        set: |config, text| {
            config.usage.stream = switch(text)?;
            Ok(())
        },
    },
];
