//! The object that a change wrote, as the log names it. It is a hint where to look: the document decides.

use serde::{Deserialize, Serialize};

use crate::key::{Attribution, KeyId, StreamName, TenantId};

/// A document that was written.
///
/// Keys, streams and tenants are recognised by their fields. Every other kind names itself in the field `kind`. So a
/// node that does not know the kind still applies the other changes of an entry, and a new kind does not raise the
/// version of entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum ChangedObject {
    /// A document of another kind. A node that does not know the kind holds none in memory, so it has nothing to apply.
    Held {
        /// What the kind is called.
        kind: String,
        /// Which document of the kind.
        #[serde(default)]
        id: String,
    },
    /// A key: issued, changed, revoked or purged.
    Key {
        /// Whose key.
        tenant: TenantId,
        /// Which key.
        key_id: KeyId,
    },
    /// The schema of a stream: created or widened.
    Stream {
        /// Whose stream.
        tenant: TenantId,
        /// Which stream.
        stream: StreamName,
    },
    /// A tenant: created, changed or deleted.
    Tenant {
        /// Which tenant.
        tenant: TenantId,
    },
}

/// One change as an entry of the log carries it: the object, and who changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedChange {
    /// What was changed.
    #[serde(flatten)]
    pub object: ChangedObject,
    /// Who changed it; nothing in entries of older versions.
    #[serde(flatten)]
    pub by: Attribution,
}

impl ChangedObject {
    /// The change that `by` made of it.
    pub fn by(self, by: &Attribution) -> LoggedChange {
        LoggedChange { object: self, by: by.clone() }
    }

    /// The key that was changed, if it was one.
    pub(super) fn key(&self) -> Option<(&TenantId, KeyId)> {
        match self {
            Self::Key { tenant, key_id } => Some((tenant, *key_id)),
            Self::Stream { .. } | Self::Tenant { .. } | Self::Held { .. } => None,
        }
    }
}
