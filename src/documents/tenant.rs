//! The versioned JSON of a tenant.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::document::stamped;
use super::instant::rfc3339;
use super::{Document, LastWrite, RequestContext, Unreadable};
use crate::key::{Actor, Attribution, KeyType, Label, Lifetimes, Limits, RequestId, RetentionDays, Tenant, TenantId};
use crate::layout::ObjectName;

const VERSION: u32 = 1;

/// A tenant document: name, settings and suspension, or a tombstone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantDocument {
    version: u32,
    /// The display name.
    #[serde(default)]
    pub name: Option<Label>,
    /// The kinds of use that are refused for now.
    #[serde(default)]
    pub suspended: BTreeSet<KeyType>,
    /// How much all its keys together may be used.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// The default lifetime of keys, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_key_lifetime_seconds: Option<NonZeroU32>,
    /// How long a key may last at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_key_lifetime_seconds: Option<NonZeroU32>,
    /// How long events are kept in streams that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<RetentionDays>,
    /// When it was created.
    #[serde(default, serialize_with = "rfc3339")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was deleted: the document is then a tombstone, and the id is never given again.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<DateTime<Utc>>,
    /// Whether its events are erased with it, and how far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<Erasure>,
    /// When it was last changed.
    #[serde(default, serialize_with = "rfc3339", skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<DateTime<Utc>>,
    /// Who changed it last, and by which request.
    #[serde(flatten)]
    pub attribution: Attribution,
    #[serde(default)]
    write_id: Option<Uuid>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The erasure of a deleted tenant's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erasure {
    /// When it was asked for.
    #[serde(serialize_with = "rfc3339")]
    pub at: Option<DateTime<Utc>>,
    /// Who asked for it.
    #[serde(default)]
    pub by: Option<Actor>,
    /// By which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// How many objects were removed, at least.
    #[serde(default)]
    pub objects_removed: u64,
    /// When nothing was left.
    #[serde(default, serialize_with = "rfc3339")]
    pub finished_at: Option<DateTime<Utc>>,
}

impl Erasure {
    /// One that begins.
    pub fn new(context: &RequestContext) -> Self {
        let (by, request_id) = (Some(context.actor.clone()), context.request_id);
        Self { at: Some(context.at), by, request_id, objects_removed: 0, finished_at: None }
    }
}

impl TenantDocument {
    /// A tenant with nothing suspended.
    pub fn new(name: Option<Label>, created_at: Option<DateTime<Utc>>) -> Self {
        Self {
            version: VERSION,
            name,
            suspended: BTreeSet::new(),
            limits: Limits::default(),
            default_key_lifetime_seconds: None,
            max_key_lifetime_seconds: None,
            retention_days: None,
            created_at,
            deleted_at: None,
            erasure: None,
            modified_at: None,
            attribution: Attribution::default(),
            write_id: None,
            unknown: Map::new(),
        }
    }

    /// How long its keys last.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes { default_seconds: self.default_key_lifetime_seconds, max_seconds: self.max_key_lifetime_seconds }
    }

    /// The tenant `id` that the document describes.
    pub fn tenant(&self, id: TenantId) -> Tenant {
        Tenant {
            id,
            name: self.name.clone(),
            suspended: self.suspended.clone(),
            limits: self.limits,
            lifetimes: self.lifetimes(),
            retention_days: self.retention_days,
            created_at: self.created_at,
            modified_at: self.modified_at,
            modified_by: self.attribution.modified_by.clone(),
            deleted: self.deleted_at.is_some(),
            erased: self.erasure.is_some(),
        }
    }

    /// Its last write.
    pub fn last_write(&self) -> LastWrite {
        LastWrite { write_id: self.write_id, by: self.attribution.clone(), at: self.modified_at }
    }

    /// Notes who changes the tenant, and when.
    pub fn attribute(&mut self, context: &RequestContext, now: DateTime<Utc>) {
        self.modified_at = Some(now);
        self.attribution = context.attribution();
    }
}

impl Document for TenantDocument {
    type Id = TenantId;

    const NAME: &'static str = "the record of the tenant";

    fn object(id: &TenantId) -> ObjectName {
        ObjectName::Tenant { tenant: id.clone() }
    }

    fn parse(_: &TenantId, body: &[u8]) -> Result<Self, Unreadable> {
        let explain = |error| Unreadable::explain("a tenant record", VERSION, body, &error);
        let document: Self = serde_json::from_slice(body).map_err(explain)?;
        if document.version == VERSION { Ok(document) } else { Err(Unreadable::Version(document.version)) }
    }

    fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TenantDocument, Unreadable> {
        TenantDocument::parse(&TenantId::default(), text.as_bytes())
    }

    #[test]
    fn golden_documents_parse_for_ever_and_are_written_as_they_were_read() {
        for golden in [
            include_str!("../../fixtures/tenant/v1/suspended.json"),
            include_str!("../../fixtures/tenant/v1/tombstone.json"),
            include_str!("../../fixtures/tenant/v1/bounded.json"),
            include_str!("../../fixtures/tenant/v1/attributed.json"),
        ] {
            let document = parse(golden).unwrap();
            assert_eq!(serde_json::to_string_pretty(&document).unwrap(), golden.trim_end());
        }
    }

    #[test]
    fn a_tombstone_is_a_deleted_tenant() {
        let golden = include_str!("../../fixtures/tenant/v1/tombstone.json");
        assert!(parse(golden).unwrap().tenant(TenantId::default()).deleted);
    }

    #[test]
    fn what_is_no_record_says_why() {
        let golden = include_str!("../../fixtures/tenant/v1/tombstone.json");
        let later = golden.replace("\"version\": 1", "\"version\": 2");
        assert_eq!(parse(&later).unwrap_err(), Unreadable::Version(2));
        assert_eq!(parse("[]").unwrap_err().to_string(), "not a tenant record (data at line 1)");
    }
}
