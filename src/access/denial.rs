//! Every reason why a credential gives no permit. Rich for logs and metrics; clients learn only what the HTTP layer
//! makes of it.

use crate::key::{KeyId, KeyType, MalformedCredential};

/// Why a credential gives no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// No credential was presented.
    #[error("no API key was presented")]
    Missing,
    /// More than one credential was presented, or one in an ambiguous way.
    #[error("more than one credential was presented")]
    Ambiguous,
    /// It is not written as an API key is.
    #[error("malformed: {0}")]
    Malformed(#[from] MalformedCredential),
    /// It belongs to no key.
    #[error("unknown")]
    Unknown,
    /// The keys are not loaded yet, so the key may exist: our fault, not the client's.
    #[error("the keys are not loaded yet")]
    NotHydrated,
    /// It is not known here, but this node still compares its keys with the bucket: our fault, not the client's.
    #[error("unknown, and the keys are still being verified")]
    Verifying,
    /// Another node may have just issued it, but the store does not answer: our fault, not the client's.
    #[error("unknown, and the store cannot be asked")]
    Unverifiable,
    /// This node has been out of contact with the store for longer than is allowed: our fault, not the client's.
    #[error("the view of this node is too old")]
    Stale,
    /// The key has expired.
    #[error("expired")]
    Expired(KeyId),
    /// It is a secret that was rotated away, and its overlap has ended.
    #[error("rotated")]
    Rotated(KeyId),
    /// The key is disabled.
    #[error("disabled")]
    Disabled(KeyId),
    /// The key is revoked.
    #[error("revoked")]
    Revoked(KeyId),
    /// The key's tenant was deleted.
    #[error("tenant deleted")]
    TenantDeleted(KeyId),
    /// The key is valid, but of another type.
    #[error("wrong key type")]
    WrongKeyType {
        /// Which key.
        key_id: KeyId,
        /// What the route needs.
        needed: KeyType,
    },
    /// The key is valid, but the client states another tenant.
    #[error("tenant mismatch")]
    TenantMismatch(KeyId),
    /// The key is valid, but what the client states is no tenant.
    #[error("the stated tenant cannot be read")]
    TenantUnreadable(KeyId),
    /// The key is valid, but its tenant is suspended for this use.
    #[error("tenant suspended")]
    TenantSuspended(KeyId),
    /// The key is valid, but may not be used from the address, or the address is unknown.
    #[error("network not allowed")]
    NetworkNotAllowed(KeyId),
    /// The key is valid, but does not cover the stream.
    #[error("stream not allowed")]
    StreamNotAllowed(KeyId),
}

impl Denial {
    /// The reason in metrics and logs, from a fixed set.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::NotHydrated => "not_hydrated",
            Self::Verifying => "verifying",
            Self::Unverifiable => "unverifiable",
            Self::Stale => "stale",
            Self::Expired(_) => "expired",
            Self::Rotated(_) => "rotated",
            Self::Disabled(_) => "disabled",
            Self::Revoked(_) => "revoked",
            Self::TenantDeleted(_) => "tenant_deleted",
            Self::WrongKeyType { .. } => "wrong_key_type",
            Self::TenantMismatch(_) => "tenant_mismatch",
            Self::TenantUnreadable(_) => "tenant_unreadable",
            Self::TenantSuspended(_) => "tenant_suspended",
            Self::NetworkNotAllowed(_) => "network_not_allowed",
            Self::StreamNotAllowed(_) => "stream_not_allowed",
        }
    }

    /// The key that was recognised, when one was.
    pub const fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Missing
            | Self::Ambiguous
            | Self::Malformed(_)
            | Self::Unknown
            | Self::NotHydrated
            | Self::Verifying
            | Self::Unverifiable
            | Self::Stale => None,
            Self::Expired(id)
            | Self::Rotated(id)
            | Self::Disabled(id)
            | Self::Revoked(id)
            | Self::TenantDeleted(id)
            | Self::WrongKeyType { key_id: id, .. }
            | Self::TenantMismatch(id)
            | Self::TenantUnreadable(id)
            | Self::TenantSuspended(id)
            | Self::NetworkNotAllowed(id)
            | Self::StreamNotAllowed(id) => Some(*id),
        }
    }
}
