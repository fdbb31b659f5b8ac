//! One of many changes, and what it came to.

use std::sync::Arc;

use chrono::TimeDelta;

use super::Keystore;
use super::keys::Brought;
use crate::key::{ApiKey, KeyId, KeyPatch, NewKey, PlainSecret, TenantId};

/// One of many changes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// Issue a key: for a secret that somebody has already, or for one that is made now.
    Issue {
        /// What is said about it.
        new: Box<NewKey>,
        /// The secret that it is for. With one, the same issue again is no error: see [`Effect::Unchanged`].
        secret: Option<Brought>,
    },
    /// Change a key.
    Update {
        /// Which key.
        id: KeyId,
        /// What to change.
        patch: Box<KeyPatch>,
    },
    /// Give a key a secret that somebody has already.
    Rotate {
        /// Which key.
        id: KeyId,
        /// Its new secret.
        secret: Brought,
        /// How long the old one works on.
        overlap: TimeDelta,
    },
    /// Revoke a key.
    Revoke {
        /// Which key.
        id: KeyId,
    },
}

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The key is new.
    Issued,
    /// The key is another now.
    Updated,
    /// The key has another secret now.
    Rotated,
    /// The key is revoked.
    Revoked,
    /// It was so already: a live key of that name, secret and settings, a key as the patch wants it, a revoked key.
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

/// A change that is durable and told of.
#[derive(Debug)]
pub struct Done {
    /// The key as it is now.
    pub key: Arc<ApiKey>,
    /// What the change came to.
    pub effect: Effect,
    /// The API key in clear text, if it was made here: its only sight.
    pub secret: Option<PlainSecret>,
    /// The number of the change in the log, for [`crate::sync::Replica::receipt`]. Numbers never fall from one outcome to
    /// the next.
    pub change_seq: u64,
}

impl Done {
    pub(super) fn new(key: Arc<ApiKey>, effect: Effect) -> Self {
        Self { key, effect, secret: None, change_seq: 0 }
    }
}

impl Keystore {
    /// The live key that an issue would make, if it is there already: its name, its secret, and all that is said of it.
    pub(super) fn same(&self, tenant: &TenantId, new: &NewKey, secret: &Brought) -> Option<Arc<ApiKey>> {
        self.cache.named(tenant, &new.name).filter(|key| is_same(key, new, secret))
    }
}

/// Whether a key is what an issue would make. Its state is no part of that: whoever disabled it since meant it.
pub(super) fn is_same(key: &ApiKey, new: &NewKey, secret: &Brought) -> bool {
    key.is_live()
        && key.digest.verify(&secret.digest)
        && (&key.name, key.key_type, &key.settings) == (&new.name, new.key_type, &new.settings)
        && new.expires_at.is_none_or(|said| said == key.expires_at) // Else it is what the tenant said by then.
}
