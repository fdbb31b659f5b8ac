//! The proof that a credential allows an action, and the functions that give it.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Action, ClientAddress, Decision, Denial, Facts, FoundKey, StatedTenant, TenantState, View, decide};
use crate::cache::KeyCache;
use crate::key::{ApiKey, Credential, Digest, Hint, Limits, StreamName, Tenant, TenantId};

/// Proof that a credential was presented that allows an action. Only [`recognise`] makes one.
#[derive(Clone)]
pub struct Permit {
    key: Arc<ApiKey>,
    tenant: TenantState,
    /// Only when the tenant has limits: the reference count of a busy tenant is written by all cores.
    limited_by: Option<Arc<Tenant>>,
    presented: Digest,
    action: Action,
    at: DateTime<Utc>,
}

impl Permit {
    /// The key that was presented.
    pub fn key(&self) -> &Arc<ApiKey> {
        &self.key
    }

    /// The tenant, which comes from the key and from nowhere else.
    pub fn tenant(&self) -> &TenantId {
        &self.key.tenant
    }

    /// The limits on all keys of the tenant together, if there are any.
    pub fn tenant_limits(&self) -> Option<&Limits> {
        self.limited_by.as_ref().map(|tenant| &tenant.limits)
    }

    /// The action that it allows.
    pub fn action(&self) -> Action {
        self.action
    }

    /// When it was given.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// The digest of what was presented: of the key's secret, or of one that it had before.
    pub(super) fn presented(&self) -> Digest {
        self.presented
    }

    /// The last characters of the secret that was presented, when it is one that was rotated away.
    pub fn older(&self) -> Option<Hint> {
        self.key.older_secret(&self.presented).map(|older| older.hint)
    }

    /// When the presented secret stops working; `None` is never.
    pub fn good_until(&self) -> Option<DateTime<Utc>> {
        self.key.secret_until(&self.presented)
    }

    /// Checks that the key covers `stream`.
    ///
    /// # Errors
    /// [`Denial::StreamNotAllowed`] when it does not.
    pub fn check_stream(&self, stream: &StreamName) -> Result<(), Denial> {
        decide(&Facts { stream: Some(stream), ..self.facts() }, self.action).denial().map_or(Ok(()), Err)
    }

    /// The facts that it was given for, to decide again with more.
    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            now: self.at,
            view: View::Current,
            found: Ok(Some(FoundKey { key: &self.key, tenant: self.tenant, presented: &self.presented })),
            stated_tenant: StatedTenant::Nothing,
            // The stated tenant and the address were checked when the permit was given.
            address: ClientAddress::Unchecked,
            request_rate: None,
            stream: None,
            volume: None,
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({:?} with {} of {})", self.action, self.key.key_id, self.key.tenant)
    }
}

/// An attempt to use a credential.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The action.
    pub action: Action,
    /// The tenant that the client states.
    pub stated_tenant: StatedTenant<'a>,
    /// The client's address; [`ClientAddress::Unchecked`] skips the networks of keys.
    pub address: ClientAddress,
    /// The instant.
    pub now: DateTime<Utc>,
}

impl<'a> Attempt<'a> {
    /// An attempt without a stated tenant and without an address: the networks of keys are not checked.
    pub fn new(action: Action, now: DateTime<Utc>) -> Self {
        Self { action, stated_tenant: StatedTenant::Nothing, address: ClientAddress::Unchecked, now }
    }

    fn facts<'f>(&self, view: View, found: Option<FoundKey<'f>>) -> Facts<'f>
    where
        'a: 'f,
    {
        Facts {
            now: self.now,
            view,
            found: Ok(found),
            stated_tenant: self.stated_tenant,
            address: self.address,
            request_rate: None,
            stream: None,
            volume: None,
        }
    }
}

/// From a presented credential to a permit: no await, no store, one short read lock, no allocation.
///
/// # Errors
/// The [`Denial`] of the first rule that denies it: known, state, action, tenant, network.
pub fn authenticate(cache: &KeyCache, presented: &str, attempt: &Attempt<'_>) -> Result<Permit, Denial> {
    recognise(cache, &Credential::parse(presented)?.digest(), attempt)
}

/// The same for the digest of a well-formed credential.
///
/// # Errors
/// As for [`authenticate`].
pub fn recognise(cache: &KeyCache, digest: &Digest, attempt: &Attempt<'_>) -> Result<Permit, Denial> {
    let action = attempt.action;
    let view = match (cache.is_good_at(attempt.now), cache.is_hydrated(), cache.is_verified()) {
        (false, _, _) => View::Stale,
        (true, false, _) => View::Loading,
        (true, true, false) => View::Verifying,
        (true, true, true) => View::Current,
    };
    let decided = cache.judge(digest, |key, tenant| {
        let state = TenantState::from(&**tenant);
        let found = FoundKey { key, tenant: state, presented: digest };
        match decide(&attempt.facts(view, Some(found)), action) {
            Decision::Denied(denial) => Err(denial),
            Decision::Granted | Decision::Refused(_) => Ok(Permit {
                key: key.clone(),
                tenant: state,
                limited_by: (!tenant.limits.is_none()).then(|| tenant.clone()),
                presented: *digest,
                action,
                at: attempt.now,
            }),
        }
    });
    decided.unwrap_or_else(|| Err(decide(&attempt.facts(view, None), action).denial().unwrap_or(Denial::Unknown)))
}
