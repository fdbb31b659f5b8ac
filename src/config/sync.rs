//! Keeping up with other nodes.

use std::time::Duration;

use super::OptionDoc;
use super::value::{duration, switch};

/// How this node follows the bucket.
#[derive(Debug, Clone)]
pub struct SyncConfig {
    /// How often the change log is asked for its next entry.
    pub poll_interval: Duration,
    /// How often everything is listed and compared.
    pub reconcile_interval: Duration,
    /// How old the view of this node may be before it refuses requests; `None` for ever.
    pub max_stale: Option<Duration>,
    /// How long the record of a revoked key is kept; `None` for ever.
    pub revoked_retention: Option<Duration>,
    /// Whether this node, and no other, writes to a store that is not safe.
    pub single_writer: bool,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            reconcile_interval: Duration::from_secs(600),
            max_stale: None,
            revoked_retention: Some(DAY * 365),
            single_writer: false,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("sync-poll-interval"),
        env: "KEYLOFT_SYNC_POLL_INTERVAL",
        key: Some("sync.poll_interval"),
        default: "1s",
        unit: "duration",
        doc: "How often a node asks for the changes of others, give or take a fifth: what a revocation takes to reach it.",
        set: |config, text| {
            config.sync.poll_interval = duration(text, Duration::from_millis(10)..=Duration::from_secs(600))?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("sync-reconcile-interval"),
        env: "KEYLOFT_SYNC_RECONCILE_INTERVAL",
        key: Some("sync.reconcile_interval"),
        default: "10m",
        unit: "duration",
        doc: "How often a node lists everything, give or take a fifth: what a change made by hand takes to reach it.",
        set: |config, text| {
            config.sync.reconcile_interval = duration(text, Duration::from_secs(1)..=DAY)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("sync-max-stale"),
        env: "KEYLOFT_SYNC_MAX_STALE",
        key: Some("sync.max_stale"),
        default: "0s",
        unit: "duration",
        doc: "How long a node that cannot reach the store goes on admitting requests; 0s is for ever.",
        set: |config, text| {
            config.sync.max_stale = optional(duration(text, Duration::ZERO..=DAY * 30)?);
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("sync-revoked-retention"),
        env: "KEYLOFT_SYNC_REVOKED_RETENTION",
        key: Some("sync.revoked_retention"),
        default: "365d",
        unit: "duration",
        doc: "How long the record of a revoked key is kept; 0s is for ever.",
        set: |config, text| {
            config.sync.revoked_retention = optional(duration(text, Duration::ZERO..=DAY * 36_500)?);
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("sync-single-writer"),
        env: "KEYLOFT_SYNC_SINGLE_WRITER",
        key: Some("sync.single_writer"),
        default: "false",
        unit: "true or false",
        doc: "Changes keys in a store without conditional writes all the same; only one node may do so.",
        set: |config, text| {
            config.sync.single_writer = switch(text)?;
            Ok(())
        },
    },
];

fn optional(duration: Duration) -> Option<Duration> {
    (duration > Duration::ZERO).then_some(duration)
}
