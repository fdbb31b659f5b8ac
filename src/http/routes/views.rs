//! Keys and tenants in answers: never a digest, and at most the last four characters of a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::documents::instant::rfc3339;
use crate::key::{
    Actor, ApiKey, KeySettings, KeyState, KeyType, Label, Limits, OlderSecret, RetentionDays, Standing, Tenant,
    TenantId,
};
use crate::usage::Tally;

/// A key, masked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView<'a> {
    tenant: &'a TenantId,
    key_id: String,
    key_name: &'a str,
    key_type: KeyType,
    state: KeyState,
    expired: bool,
    api_key_hint: String,
    #[serde(flatten)]
    settings: &'a KeySettings,
    created_by: Option<&'a Actor>,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    modified_at: Option<DateTime<Utc>>,
    modified_by: Option<&'a Actor>,
    #[serde(serialize_with = "rfc3339")]
    expires_at: Option<DateTime<Utc>>,
    own_secret: bool,
    older_secrets: Vec<OlderSecretView>,
    rev: u64,
    #[serde(flatten)]
    used: Option<UsedView>,
}

impl<'a> KeyView<'a> {
    /// The view of a key at `now`.
    pub fn new(key: &'a ApiKey, now: DateTime<Utc>) -> Self {
        Self {
            tenant: &key.tenant,
            key_id: key.key_id.to_string(),
            key_name: key.name.as_str(),
            key_type: key.key_type,
            state: key.state,
            expired: key.standing(now) == Standing::Expired,
            api_key_hint: key.masked(),
            settings: &key.settings,
            created_by: key.created_by.as_ref(),
            created_at: key.created_at,
            modified_at: key.modified_at,
            modified_by: key.modified_by.as_ref(),
            expires_at: key.expires_at,
            own_secret: key.own_secret,
            older_secrets: key.older.iter().filter(|older| older.until > now).map(OlderSecretView::new).collect(),
            rev: key.rev,
            used: None,
        }
    }

    /// The same with its usage; `None` when usage is unavailable.
    #[must_use]
    pub fn used(mut self, tally: Option<Tally>) -> Self {
        for older in &mut self.older_secrets {
            older.last_used_at = Some(
                tally
                    .as_ref()
                    .and_then(|tally| Some(tally.last_used_of(older.api_key_hint.trim_start_matches('…'))?.start())),
            );
        }
        self.used = Some(UsedView {
            last_used_at: tally.as_ref().and_then(|tally| Some(tally.last_used?.start())),
            usage: tally.map(|tally| UsageView {
                requests: tally.requests,
                events: tally.events,
                bytes: tally.bytes,
                refused: tally.refused,
                last_address: tally.last_address,
            }),
        });
        self
    }
}

/// The usage of a key, and its last use.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UsedView {
    #[serde(serialize_with = "rfc3339")]
    last_used_at: Option<DateTime<Utc>>,
    usage: Option<UsageView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageView {
    requests: u64,
    events: u64,
    bytes: u64,
    refused: BTreeMap<Cow<'static, str>, u64>,
    last_address: Option<IpAddr>,
}

/// A secret that was rotated away and still works.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OlderSecretView {
    api_key_hint: String,
    #[serde(serialize_with = "rfc3339")]
    until: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "instant_or_null")]
    last_used_at: Option<Option<DateTime<Utc>>>,
}

/// An instant, or `null` for never.
fn instant_or_null<S: Serializer>(at: &Option<Option<DateTime<Utc>>>, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(&at.flatten(), serializer)
}

impl OlderSecretView {
    fn new(older: &OlderSecret) -> Self {
        Self { api_key_hint: format!("…{}", older.hint.as_str()), until: Some(older.until), last_used_at: None }
    }
}

/// A tenant.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantView<'a> {
    tenant_id: &'a TenantId,
    name: Option<&'a Label>,
    suspended: Vec<KeyType>,
    limits: Limits,
    default_key_lifetime_seconds: Option<NonZeroU32>,
    max_key_lifetime_seconds: Option<NonZeroU32>,
    retention_days: Option<RetentionDays>,
    #[serde(serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    #[serde(serialize_with = "rfc3339")]
    modified_at: Option<DateTime<Utc>>,
    modified_by: Option<&'a Actor>,
}

impl<'a> TenantView<'a> {
    /// The view of a tenant.
    pub fn new(tenant: &'a Tenant) -> Self {
        Self {
            tenant_id: &tenant.id,
            name: tenant.name.as_ref(),
            suspended: tenant.suspended.iter().copied().collect(),
            limits: tenant.limits,
            default_key_lifetime_seconds: tenant.lifetimes.default_seconds,
            max_key_lifetime_seconds: tenant.lifetimes.max_seconds,
            retention_days: tenant.retention_days,
            created_at: tenant.created_at,
            modified_at: tenant.modified_at,
            modified_by: tenant.modified_by.as_ref(),
        }
    }
}
