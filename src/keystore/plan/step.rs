//! The steps of a plan, and the declarations that it is made from.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::key::{ApiKey, KeyName, KeyType, NewKey};
use crate::keystore::{Change, SuppliedSecret};

/// A key as it should be.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Its name, type and settings. The expiry is [`Declared::expires_at`].
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
    /// This secret. A key with another secret is rotated, and its old secret works for this long.
    Fixed(SuppliedSecret, TimeDelta),
    /// The one it has. A key that has to be issued gets this one; without it the plan cannot be carried out.
    Kept(Option<SuppliedSecret>),
}

impl DeclaredSecret {
    pub(super) fn fixed(&self) -> Option<(SuppliedSecret, TimeDelta)> {
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
pub struct Step {
    /// The name of the key.
    pub name: KeyName,
    /// Its type.
    pub key_type: KeyType,
    /// The key as it is; `None` when it has to be issued.
    pub key: Option<Arc<ApiKey>>,
    /// What to do; `None` leaves the key as it is, because it has the secret already. That occurs in imports only.
    pub change: Option<Change>,
}

impl Step {
    /// Issues a key as it is declared.
    pub(super) fn issue(declared: Declared) -> Self {
        let Declared { mut new, expires_at, active, secret } = declared;
        let secret = match secret {
            DeclaredSecret::Fixed(secret, _) => Some(secret),
            DeclaredSecret::Kept(secret) => secret,
        };
        new.expires_at = expires_at;
        let (name, key_type) = (new.name.clone(), new.key_type);
        let change = Change::Issue { new: Box::new(new), secret, active: active != Some(false) };
        Self { name, key_type, key: None, change: Some(change) }
    }

    /// Changes a key that is there, or leaves it.
    pub(super) fn on(key: &Arc<ApiKey>, change: Option<Change>) -> Self {
        Self { name: key.name.clone(), key_type: key.key_type, key: Some(key.clone()), change }
    }

    /// The key with everything changed but its secret, if that is what the step does.
    pub fn patched(&self) -> Option<ApiKey> {
        let (Some(key), Some(Change::Update { patch, .. })) = (&self.key, &self.change) else { return None };
        let mut patched = ApiKey::clone(key);
        patch.as_ref().clone().apply(&mut patched);
        Some(patched)
    }

    /// Whether a key has to be issued and no secret is given for it.
    pub fn lacks_secret(&self) -> bool {
        matches!(self.change, Some(Change::Issue { secret: None, .. }))
    }

    /// The word of answers.
    pub const fn action(&self) -> &'static str {
        match &self.change {
            None => "keep",
            Some(Change::Issue { .. }) => "issue",
            Some(Change::Update { rotation: Some(_), .. }) => "rotate",
            Some(Change::Update { rotation: None, .. }) => "update",
            Some(Change::Revoke { .. }) => "revoke",
        }
    }
}
