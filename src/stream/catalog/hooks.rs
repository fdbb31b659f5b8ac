//! What the rest of the node tells the catalog.

use std::fmt;
use std::sync::Arc;

use crate::clock::Clock;
use crate::key::{RetentionDays, TenantId};

/// Says whether other nodes take this one for live, and it hears what they announce.
pub(super) struct InContact(pub(super) Box<dyn Fn() -> bool + Send + Sync>);

/// How long events are kept in streams that do not say, and the time.
pub(super) struct Retention {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) of_tenant: Box<OfTenant>,
}

type OfTenant = dyn Fn(&TenantId) -> Option<RetentionDays> + Send + Sync;

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
