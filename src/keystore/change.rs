//! A change of a key, and its outcome.

use std::sync::Arc;

use chrono::TimeDelta;

use super::Keystore;
use super::secret::SuppliedSecret;
use crate::key::{ApiKey, KeyId, KeyPatch, NewKey, PlainSecret, TenantId};
use crate::sync::AuditAction;

/// One of many changes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// Issue a key: for a secret that exists, or for one that is made now.
    Issue {
        /// Its name, type and settings.
        new: Box<NewKey>,
        /// The secret that it is for. With one, the same issue again is no error: see [`Effect::Unchanged`].
        secret: Option<SuppliedSecret>,
        /// Whether it works at once; otherwise it is disabled from the start.
        active: bool,
    },
    /// Change a key, its secret included, in one write.
    Update {
        /// Which key.
        id: KeyId,
        /// What to change.
        patch: Box<KeyPatch>,
        /// The secret that it gets.
        rotation: Option<Rotation>,
        /// The revision that the change is for: at any other it is [`crate::ErrorKind::PreconditionFailed`].
        expected_rev: Option<u64>,
    },
    /// Revoke a key.
    Revoke {
        /// Which key.
        id: KeyId,
    },
}

/// A secret that exists and takes the place of the one that a key has.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// The new secret.
    pub secret: SuppliedSecret,
    /// How long the old one works on.
    pub overlap: TimeDelta,
}

/// The effect of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The key is new.
    Issued,
    /// The key has changed.
    Updated,
    /// The key has another secret now.
    Rotated,
    /// The key is revoked.
    Revoked,
    /// The key already had the requested state.
    Unchanged,
}

impl Effect {
    /// The word of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Updated => "updated",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A change that is durable and logged.
#[derive(Debug)]
pub struct Done {
    /// The key as it is now.
    pub key: Arc<ApiKey>,
    /// The effect of the change.
    pub effect: Effect,
    /// The API key in clear text, if it was made here. It is shown nowhere else.
    pub secret: Option<PlainSecret>,
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`]. Numbers never fall from one outcome
    /// to the next.
    pub change_seq: u64,
    /// What the change log says was done.
    pub(super) action: Option<AuditAction>,
    /// The key as it was; nothing if it is new, or as it was.
    pub(super) before: Option<Arc<ApiKey>>,
}

/// A change of a key, as the change log shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoggedKey<'a> {
    /// The key as it was; nothing if it is new.
    pub(super) before: Option<&'a ApiKey>,
    /// The key as it is; nothing if it is gone.
    pub(super) after: Option<&'a ApiKey>,
    /// What was done to it; nothing if it is as it was.
    pub(super) action: Option<AuditAction>,
}

impl<'a> LoggedKey<'a> {
    /// A key that is new.
    pub(super) fn new(key: &'a ApiKey) -> Self {
        Self { before: None, after: Some(key), action: AuditAction::of_key(None, key) }
    }
}

impl Done {
    pub(super) fn new(key: Arc<ApiKey>, effect: Effect) -> Self {
        let action = if effect == Effect::Issued { AuditAction::of_key(None, &key) } else { None };
        Self { key, effect, secret: None, change_seq: 0, action, before: None }
    }

    pub(super) fn logged(&self) -> LoggedKey<'_> {
        // One that is as it was differs in nothing from itself.
        let before = if self.action.is_none() { Some(&*self.key) } else { self.before.as_deref() };
        LoggedKey { before, after: Some(&self.key), action: self.action }
    }
}

impl Keystore {
    /// The live key that equals what an issue would make, in name, secret and settings.
    pub(super) fn same(&self, tenant: &TenantId, new: &NewKey, secret: &SuppliedSecret) -> Option<Arc<ApiKey>> {
        self.cache.named(tenant, &new.name).filter(|key| is_same(key, new, secret))
    }
}

/// Whether a key is what an issue would make. Its state does not count: an admin may have disabled it since.
pub(super) fn is_same(key: &ApiKey, new: &NewKey, secret: &SuppliedSecret) -> bool {
    key.is_live()
        && key.digest.verify(&secret.digest)
        && (&key.name, key.key_type, &key.settings) == (&new.name, new.key_type, &new.settings)
        && new.expires_at.is_none_or(|end| end == key.expires_at) // Without one, the tenant set it then.
}
