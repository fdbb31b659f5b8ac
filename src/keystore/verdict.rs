//! What an API key is worth, with the real reason: for admins, who may know what a client must not.

use std::net::IpAddr;
use std::sync::Arc;

use super::Keystore;
use crate::key::{ApiKey, Credential, KeyType, Standing, StreamName};

/// What an API key is worth for a use.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The first reason against it, or [`VerdictCode::Valid`].
    pub code: VerdictCode,
    /// The key it belongs to, when it belongs to one.
    pub key: Option<Arc<ApiKey>>,
}

/// Why an API key would be accepted or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictCode {
    /// It would be accepted.
    Valid,
    /// It is not written as an API key is.
    Malformed,
    /// It is nobody's.
    NotFound,
    /// Its key has expired.
    Expired,
    /// It was rotated away, and its overlap has ended.
    Rotated,
    /// Its key is disabled.
    Disabled,
    /// Its key is revoked, or its tenant deleted.
    Revoked,
    /// Its key is of the other type.
    WrongKeyType,
    /// Its key may not be used from the address.
    NetworkNotAllowed,
    /// Its key does not cover the stream.
    StreamNotAllowed,
    /// Its tenant is suspended for this use.
    TenantSuspended,
}

impl VerdictCode {
    /// The word of answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Malformed => "malformed",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Rotated => "rotated",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::WrongKeyType => "wrong_key_type",
            Self::NetworkNotAllowed => "network_not_allowed",
            Self::StreamNotAllowed => "stream_not_allowed",
            Self::TenantSuspended => "tenant_suspended",
        }
    }
}

impl Keystore {
    /// Judges an API key, for `action` (default: what its key is for) and, if given, from `address` and for `stream`.
    pub fn verify(
        &self,
        api_key: &str,
        action: Option<KeyType>,
        address: Option<IpAddr>,
        stream: Option<&StreamName>,
    ) -> Verdict {
        let Ok(credential) = Credential::parse(api_key) else {
            return Verdict { code: VerdictCode::Malformed, key: None };
        };
        let digest = credential.digest();
        let Some((key, tenant)) = self.cache.judge(&digest, |key, tenant| (key.clone(), tenant.clone())) else {
            return Verdict { code: VerdictCode::NotFound, key: None };
        };
        let now = self.clock.now();
        let action = action.unwrap_or(key.key_type);
        let code = match key.standing(now) {
            _ if tenant.deleted => VerdictCode::Revoked,
            Standing::Revoked => VerdictCode::Revoked,
            Standing::Disabled => VerdictCode::Disabled,
            Standing::Expired => VerdictCode::Expired,
            Standing::Good if key.older_until(&digest).is_some_and(|until| until <= now) => VerdictCode::Rotated,
            Standing::Good if action != key.key_type => VerdictCode::WrongKeyType,
            Standing::Good if tenant.suspended.contains(&action) => VerdictCode::TenantSuspended,
            Standing::Good if address.is_some_and(|address| !key.networks.allow(address)) => {
                VerdictCode::NetworkNotAllowed
            }
            Standing::Good if stream.is_some_and(|stream| !key.covers(stream)) => VerdictCode::StreamNotAllowed,
            Standing::Good => VerdictCode::Valid,
        };
        Verdict { code, key: Some(key) }
    }
}
