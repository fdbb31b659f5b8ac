//! The one decision: may this credential do this now? The rules and their order stand here and nowhere else. Pure: the
//! caller gathers the facts and acts on the decision.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use super::{Action, Denial, Refusal};
use crate::key::{ApiKey, Digest, KeyType, Standing, StreamName, Tenant};

/// What is known about a request. A fact that a caller leaves open cannot speak against the request, so a caller may
/// decide early with what it knows, and again when it knows more: what was denied before is denied then too.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// When.
    pub now: DateTime<Utc>,
    /// How far the keys in memory can be relied on.
    pub view: View,
    /// The key that the credential belongs to; `None` when it is nobody's, as far as this node knows.
    ///
    /// # Errors
    /// Why there is no credential to look for: none, more than one, or one that is malformed.
    pub found: Result<Option<Found<'a>>, Denial>,
    /// The tenant that the client states.
    pub stated_tenant: StatedTenant<'a>,
    /// Where the request comes from.
    pub address: ClientAddress,
    /// What the limits on requests say against it, once they have been asked.
    pub request_rate: Option<Refusal>,
    /// The stream that it is about, once it is known.
    pub stream: Option<&'a StreamName>,
    /// What the limits on events and bytes say against it, once they have been asked.
    pub volume: Option<Refusal>,
}

/// A key, as a credential found it.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The key.
    pub key: &'a ApiKey,
    /// Its tenant.
    pub tenant: TenantState,
    /// The digest of what was presented: of the key's secret, or of one that it had before.
    pub presented: &'a Digest,
}

/// What of a tenant matters to its keys.
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

/// How far the keys in memory can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// They are those of the bucket, as of a moment ago.
    Current,
    /// They are being loaded: what is not there may exist.
    Loading,
    /// They may be older than they may be.
    Stale,
}

/// The tenant that a client states. It is compared with that of the key, never used to choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedTenant<'a> {
    /// None.
    Nothing,
    /// This one.
    Tenant(&'a str),
    /// Something that names no tenant.
    Unreadable,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// The caller does not ask.
    Unchecked,
    /// Nobody can say.
    Unknown,
    /// From here.
    Known(IpAddr),
}

/// `None` is an address that nobody can say.
impl From<Option<IpAddr>> for ClientAddress {
    fn from(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Unknown, Self::Known)
    }
}

/// What follows from the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing speaks against it.
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

    /// Whether nothing speaks against it.
    pub fn is_granted(self) -> bool {
        self == Self::Granted
    }
}

/// Decides whether a request may use its credential for `action`. The first rule that speaks against it is the reason:
/// known → state → action → tenant → network → request rate → stream → event and byte rate. Nothing about its tenant is
/// said of a key that is not good.
pub fn decide(facts: &Facts<'_>, action: Action) -> Decision {
    let Found { key, .. } = match check_credential(facts, action) {
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
fn check_credential<'a>(facts: &Facts<'a>, action: Action) -> Result<Found<'a>, Denial> {
    // Known.
    let found = facts.found?;
    if facts.view == View::Stale {
        return Err(Denial::Stale);
    }
    let unknown = if facts.view == View::Loading { Denial::NotHydrated } else { Denial::Unknown };
    let found = found.ok_or(unknown)?;
    let Found { key, tenant, presented } = found;
    let key_id = key.key_id;
    // State: what is final first.
    if tenant.deleted {
        return Err(Denial::TenantDeleted(key_id));
    }
    match key.standing(facts.now) {
        Standing::Good => {}
        Standing::Expired => return Err(Denial::Expired(key_id)),
        Standing::Disabled => return Err(Denial::Disabled(key_id)),
        Standing::Revoked => return Err(Denial::Revoked(key_id)),
    }
    // It may also be the secret of a session, which the key no longer has at all.
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
