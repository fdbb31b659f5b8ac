//! Options for following the store and other nodes.

use std::time::Duration;

use super::OptionDoc;
use super::value::{duration, switch};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("sync-poll-interval"),
        env: "KEYLOFT_SYNC_POLL_INTERVAL",
        key: Some("sync.poll_interval"),
        default: "1s",
        unit: "duration",
        doc: "How often a node polls for changes of others, give or take a fifth: the delay until it applies a revocation.",
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
        doc: "How often a node lists the whole store, give or take a fifth: the delay until it applies a change made by hand.",
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
        flag: Some("audit-retention"),
        env: "KEYLOFT_AUDIT_RETENTION",
        key: Some("audit.retention"),
        default: "400d",
        unit: "duration",
        doc: "How long entries of the change log are kept for the audit, at least a day; 0s is for ever.",
        set: |config, text| {
            let retention = duration(text, Duration::ZERO..=DAY * 36_500)?;
            if !retention.is_zero() && retention < DAY {
                return Err("must be 0s, or at least 1d".to_owned());
            }
            config.sync.audit_retention = optional(retention);
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
            config.single_writer = switch(text)?;
            Ok(())
        },
    },
];

fn optional(duration: Duration) -> Option<Duration> {
    (duration > Duration::ZERO).then_some(duration)
}
