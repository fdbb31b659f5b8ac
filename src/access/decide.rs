//! The one decision: whether a credential allows an action now. All rules and their order are here. Pure: the caller
//! gathers the facts and acts on the decision.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use super::{Action, Denial, Refusal};
use crate::key::{ApiKey, Digest, KeyType, Standing, StreamName, Tenant};

/// The known facts about a request. An unknown fact never denies, so a caller may decide early with the facts it has,
/// and again with more: what was denied before is denied again.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The instant.
    pub now: DateTime<Utc>,
    /// The state of the keys in memory.
    pub view: View,
    /// The key that the credential belongs to; `None` when this node knows none.
    ///
    /// # Errors
    /// Why no credential can be looked up: none, more than one, or a malformed one.
    pub found: Result<Option<FoundKey<'a>>, Denial>,
    /// The tenant that the client states.
    pub stated_tenant: StatedTenant<'a>,
    /// The address of the client.
    pub address: ClientAddress,
    /// The refusal by limits on requests, once they were asked.
    pub request_rate: Option<Refusal>,
    /// The stream of the request, once it is known.
    pub stream: Option<&'a StreamName>,
    /// The refusal by limits on events and bytes, once they were asked.
    pub volume: Option<Refusal>,
}

/// The key of a credential.
#[derive(Debug, Clone, Copy)]
pub struct FoundKey<'a> {
    /// The key.
    pub key: &'a ApiKey,
    /// Its tenant.
    pub tenant: TenantState,
    /// The digest of what was presented: of the key's secret, or of one that it had before.
    pub presented: &'a Digest,
}

/// The state of a tenant that its keys depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantState {
    /// It was deleted.
    pub deleted: bool,
    /// Its keys may not ingest for now.
    pub ingest_suspended: bool,
    /// Its keys may not query for now.
    pub query_suspended: bool,
}

impl TenantState {
    /// Whether keys of this type are suspended.
    pub const fn suspends(self, key_type: KeyType) -> bool {
        match key_type {
            KeyType::Ingestion => self.ingest_suspended,
            KeyType::Query => self.query_suspended,
        }
    }
}

impl From<&Tenant> for TenantState {
    fn from(tenant: &Tenant) -> Self {
        let suspended = |key_type| tenant.suspended.contains(&key_type);
        Self {
            deleted: tenant.deleted,
            ingest_suspended: suspended(KeyType::Ingestion),
            query_suspended: suspended(KeyType::Query),
        }
    }
}

/// The state of the keys in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Up to date with the bucket.
    Current,
    /// Holds every change made through Keyloft. A key that is missing may exist: the comparison with the bucket goes
    /// on.
    Verifying,
    /// Still loading: a key may be missing, or may have been revoked since.
    Loading,
    /// Older than `--sync-max-stale` allows.
    Stale,
}

/// The tenant that a client states. It is compared with that of the key, never used to choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatedTenant<'a> {
    /// None.
    Nothing,
    /// This one.
    Tenant(&'a str),
    /// Something that names no tenant.
    Unreadable,
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAddress {
    /// The caller does not check networks.
    Unchecked,
    /// It is unknown.
    Unknown,
    /// This address.
    Known(IpAddr),
}

/// `None` is an unknown address.
impl From<Option<IpAddr>> for ClientAddress {
    fn from(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Unknown, Self::Known)
    }
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// No rule denies it.
    Granted,
    /// The credential does not allow it.
    Denied(Denial),
    /// The credential allows it, its limits do not.
    Refused(Refusal),
}

impl Decision {
    /// Why the credential does not allow it, if it does not.
    pub const fn denial(self) -> Option<Denial> {
        match self {
            Self::Denied(denial) => Some(denial),
            Self::Granted | Self::Refused(_) => None,
        }
    }

    /// Whether no rule denies it.
    #[cfg(test)]
    pub fn is_granted(self) -> bool {
        self == Self::Granted
    }
}

/// Decides whether a request may use its credential for `action`. The first rule that denies it is the reason: known →
/// state → action → tenant → network → request rate → stream → event and byte rate. A key that does not work reveals
/// nothing about its tenant.
pub fn decide(facts: &Facts<'_>, action: Action) -> Decision {
    let FoundKey { key, .. } = match check_credential(facts, action) {
        Ok(found) => found,
        Err(denial) => return Decision::Denied(denial),
    };
    if let Some(refusal) = facts.request_rate {
        return Decision::Refused(refusal);
    }
    if facts.stream.is_some_and(|stream| !key.covers(stream)) {
        return Decision::Denied(Denial::StreamNotAllowed(key.key_id));
    }
    if let Some(refusal) = facts.volume {
        return Decision::Refused(refusal);
    }
    Decision::Granted
}

/// Everything up to the network: what needs no limits.
fn check_credential<'a>(facts: &Facts<'a>, action: Action) -> Result<FoundKey<'a>, Denial> {
    // Known.
    let found = facts.found?;
    if facts.view == View::Stale {
        return Err(Denial::Stale);
    }
    if facts.view == View::Loading {
        return Err(Denial::NotHydrated);
    }
    let unknown = if facts.view == View::Verifying { Denial::Verifying } else { Denial::Unknown };
    let found = found.ok_or(unknown)?;
    let FoundKey { key, tenant, presented } = found;
    let key_id = key.key_id;
    // State: final states first.
    if tenant.deleted {
        return Err(Denial::TenantDeleted(key_id));
    }
    match key.standing(facts.now) {
        Standing::Good => {}
        Standing::Expired => return Err(Denial::Expired(key_id)),
        Standing::Disabled => return Err(Denial::Disabled(key_id)),
        Standing::Revoked => return Err(Denial::Revoked(key_id)),
    }
    // It may also be the secret that opened a session and that the key no longer has.
    if key.secret_until(presented).is_some_and(|until| until <= facts.now) {
        return Err(Denial::Rotated(key_id));
    }
    // Action.
    let needed = action.key_type();
    if let Some(needed) = needed.filter(|needed| *needed != key.key_type) {
        return Err(Denial::WrongKeyType { key_id, needed });
    }
    // Tenant.
    match facts.stated_tenant {
        StatedTenant::Unreadable => return Err(Denial::TenantUnreadable(key_id)),
        StatedTenant::Tenant(stated) if stated != key.tenant.as_str() => return Err(Denial::TenantMismatch(key_id)),
        StatedTenant::Tenant(_) | StatedTenant::Nothing => {}
    }
    if needed.is_some_and(|needed| tenant.suspends(needed)) {
        return Err(Denial::TenantSuspended(key_id));
    }
    // Network.
    let allowed = key.settings.allowed_cidrs.is_any()
        || match facts.address {
            ClientAddress::Unchecked => true,
            ClientAddress::Unknown => false,
            ClientAddress::Known(address) => key.settings.allowed_cidrs.allow(address),
        };
    if allowed { Ok(found) } else { Err(Denial::NetworkNotAllowed(key_id)) }
}
