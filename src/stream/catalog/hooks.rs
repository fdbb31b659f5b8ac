//! Callbacks by which the catalog asks about contact with other nodes, retention and time.

use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::key::{RetentionDays, StreamName, TenantId};

/// Whether other nodes count this node as live, and this node receives their announcements.
pub(super) struct InContact(pub(super) Box<dyn Fn() -> bool + Send + Sync>);

/// The retention of streams without a setting of their own, and the clock.
pub(super) struct Retention {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) by_default: Box<ByDefault>,
}

type ByDefault = dyn Fn(&TenantId, &StreamName) -> Option<RetentionDays> + Send + Sync;

impl fmt::Debug for InContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InContact(..)")
    }
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Retention(..)")
    }
}
