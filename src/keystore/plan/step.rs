//! The steps of a plan, and the declarations that it is made from.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::key::{ApiKey, KeyName, KeyPatch, KeyType, NewKey};
use crate::keystore::Brought;

/// A key as it should be.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Name, type, and everything that a key of that name shall have; the expiry is said by [`Declared::expires_at`].
    pub new: NewKey,
    /// When it expires: `Some(None)` is never, `None` leaves it as it is.
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// Whether it is active; `None` leaves it as it is.
    pub active: Option<bool>,
    /// The secret it has.
    pub secret: DeclaredSecret,
}

/// The secret of a key that is declared.
#[derive(Debug, Clone, Copy)]
pub enum DeclaredSecret {
    /// This one. Another one that the key has is rotated away, and works for so long.
    Fixed(Brought, TimeDelta),
    /// The one it has. A key that has to be issued gets this one; without it, it can only be planned.
    Kept(Option<Brought>),
}

impl DeclaredSecret {
    pub(super) fn fixed(&self) -> Option<(Brought, TimeDelta)> {
        match self {
            Self::Fixed(secret, overlap) => Some((*secret, *overlap)),
            Self::Kept(_) => None,
        }
    }
}

/// The steps to take, in the order in which they were declared; revocations come last.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One thing to do to one key.
#[derive(Debug, Clone)]
pub enum Step {
    /// Issue a key.
    Issue(Box<Declared>),
    /// Change a key, and maybe its secret.
    Alter(Box<Alteration>),
    /// Leave a key as it is, because it has the secret already. Only when moving in.
    Keep(Arc<ApiKey>),
    /// Revoke a key.
    Revoke(Arc<ApiKey>),
}

/// What changes of a key.
#[derive(Debug, Clone)]
pub struct Alteration {
    /// The key as it is.
    pub key: Arc<ApiKey>,
    /// What changes besides its secret.
    pub patch: KeyPatch,
    /// The key with that changed.
    pub after: ApiKey,
    /// The secret it gets, and how long the one it has works on.
    pub rotation: Option<(Brought, TimeDelta)>,
}

impl Alteration {
    /// Whether anything changes besides the secret.
    pub fn patches(&self) -> bool {
        self.after != *self.key
    }
}

impl Step {
    /// The name of the key that it is about.
    pub fn name(&self) -> &KeyName {
        match self {
            Self::Issue(declared) => &declared.new.name,
            Self::Alter(change) => &change.key.name,
            Self::Keep(key) | Self::Revoke(key) => &key.name,
        }
    }

    /// The type of that key.
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Issue(declared) => declared.new.key_type,
            Self::Alter(change) => change.key.key_type,
            Self::Keep(key) | Self::Revoke(key) => key.key_type,
        }
    }

    /// The key, if it is there already.
    pub fn key(&self) -> Option<&Arc<ApiKey>> {
        match self {
            Self::Issue(_) => None,
            Self::Alter(change) => Some(&change.key),
            Self::Keep(key) | Self::Revoke(key) => Some(key),
        }
    }

    /// The word of answers.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Issue(_) => "issue",
            Self::Alter(change) if change.rotation.is_some() => "rotate",
            Self::Alter(_) => "update",
            Self::Keep(_) => "keep",
            Self::Revoke(_) => "revoke",
        }
    }
}
