//! How a node follows the bucket.

use std::time::Duration;

/// Periods and bounds of following. The defaults are those of `keyloft serve`.
#[derive(Debug, Clone)]
pub struct SyncSettings {
    /// How often the change log is asked for its next entry, give or take a fifth. A change reaches every node within
    /// this and one or two round trips to the store.
    pub poll_interval: Duration,
    /// How often the whole store is listed and compared, give or take a fifth. This finds changes made by hand.
    pub reconcile_interval: Duration,
    /// How old the view of this node may be before it refuses requests; `None` serves from memory for ever.
    pub max_stale: Option<Duration>,
    /// How long the record of a revoked key is kept; `None` keeps it for ever.
    pub revoked_retention: Option<Duration>,
    /// How long entries of the change log are kept for the audit; `None` keeps them for ever.
    pub audit_retention: Option<Duration>,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            reconcile_interval: Duration::from_secs(600),
            max_stale: None,
            revoked_retention: Some(Duration::from_secs(365 * 24 * 3600)),
            audit_retention: Some(Duration::from_secs(400 * 24 * 3600)),
        }
    }
}
