//! Verification of an API key for admins, with the real reason, which clients must not learn.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Action, ClientAddress, Denial, Facts, FoundKey, StatedTenant, TenantState, View, decide};
use crate::cache::KeyCache;
use crate::key::{ApiKey, Credential, StreamName};

/// A question about an API key.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The action; `None` for the action of the key's type.
    pub action: Option<Action>,
    /// The client's address.
    pub address: ClientAddress,
    /// The stream, if one is asked about.
    pub stream: Option<&'a StreamName>,
    /// The instant.
    pub now: DateTime<Utc>,
}

/// The outcome of a verification.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The first reason against it; `None` when it would be accepted.
    pub denial: Option<Denial>,
    /// The key it belongs to, when it belongs to one.
    pub key: Option<Arc<ApiKey>>,
}

impl Verification {
    /// Whether it would be accepted.
    pub fn is_valid(&self) -> bool {
        self.denial.is_none()
    }

    /// The code in answers, from a fixed set.
    pub fn code(&self) -> &'static str {
        match &self.denial {
            None => "valid",
            Some(Denial::Unknown) => "not_found",
            Some(Denial::TenantDeleted(_)) => "revoked",
            Some(denial) => denial.as_str(),
        }
    }
}

/// Decides as for a request that presents `api_key`, but takes nothing from any limit.
pub fn verify(cache: &KeyCache, api_key: &str, question: &Question<'_>) -> Verification {
    let &Question { action, address, stream, now } = question;
    let digest = match Credential::parse(api_key) {
        Ok(credential) => credential.digest(),
        Err(malformed) => return Verification { denial: Some(malformed.into()), key: None },
    };
    let found = cache.judge(&digest, |key, tenant| {
        let facts = Facts {
            now,
            view: View::Current,
            found: Ok(Some(FoundKey { key, tenant: TenantState::from(&**tenant), presented: &digest })),
            stated_tenant: StatedTenant::Nothing,
            address,
            request_rate: None,
            stream,
            volume: None,
        };
        let denial = decide(&facts, action.unwrap_or_else(|| key.key_type.into())).denial();
        Verification { denial, key: Some(key.clone()) }
    });
    let unknown = if cache.is_verified() { Denial::Unknown } else { Denial::Verifying };
    found.unwrap_or(Verification { denial: Some(unknown), key: None })
}
