//! The lines of a snapshot: keys, and the records of tenants. Defaults are left out.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::key::settings::sparse;
use crate::key::{
    Actor, ApiKey, Digest, Hint, KeyId, KeyName, KeySettings, KeyState, KeyType, Label, Lifetimes, Limits, Networks,
    OlderSecret, OlderSecrets, RetentionDays, Tenant, TenantId,
};
use crate::sync::tags::TaggedKey;

/// A key, and the state of the document it was read from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyLine<'a> {
    tenant: &'a str,
    #[serde(with = "tag")]
    tag: tag::KnownTag,
    key_id: KeyId,
    key_name: KeyName,
    key_type: KeyType,
    digest: String,
    #[serde(default, skip_serializing_if = "is_default")]
    hint: Hint,
    #[serde(default, skip_serializing_if = "is_default")]
    own_secret: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older: Vec<OlderLine>,
    #[serde(default, skip_serializing_if = "is_default")]
    state: KeyState,
    #[serde(flatten, serialize_with = "sparse")]
    settings: KeySettings,
    /// What version 1 called the networks.
    #[serde(default, skip_serializing)]
    networks: Option<Networks>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<Actor>,
    #[serde(default, with = "chrono::serde::ts_milliseconds_option", skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    #[serde(default, with = "chrono::serde::ts_milliseconds_option", skip_serializing_if = "Option::is_none")]
    modified_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_by: Option<Actor>,
    #[serde(default, with = "chrono::serde::ts_milliseconds_option", skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    rev: u64,
}

/// A secret that was rotated away: digest, hint, and until when it works.
#[derive(Debug, Serialize, Deserialize)]
struct OlderLine(String, String, #[serde(with = "chrono::serde::ts_milliseconds")] DateTime<Utc>);

impl OlderLine {
    fn new(older: &OlderSecret) -> Self {
        Self(older.digest.to_document(), older.hint.as_str().to_owned(), older.until)
    }

    fn read(self) -> Option<OlderSecret> {
        Some(OlderSecret { digest: Digest::parse(&self.0).ok()?, hint: Hint::parse(&self.1).ok()?, until: self.2 })
    }
}

/// The state of a document as a number. An unknown one is 0: nodes of older versions need a number, and no listing
/// shows that one.
mod tag {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, U64Deserializer};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::store::Tag;

    pub(super) type KnownTag = Option<Tag>;

    #[allow(clippy::ref_option)] // serde passes the field by reference.
    pub(super) fn serialize<S: Serializer>(tag: &KnownTag, serializer: S) -> Result<S::Ok, S::Error> {
        match tag {
            Some(tag) => tag.serialize(serializer),
            None => serializer.serialize_u64(0),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KnownTag, D::Error> {
        let number: U64Deserializer<Error> = match u64::deserialize(deserializer)? {
            0 => return Ok(None),
            number => number.into_deserializer(),
        };
        Tag::deserialize(number).map(Some).map_err(serde::de::Error::custom)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> KeyLine<'a> {
    pub(super) fn new(TaggedKey { key, tag }: &'a TaggedKey) -> Self {
        Self {
            tenant: key.tenant.as_str(),
            tag: *tag,
            key_id: key.key_id,
            key_name: key.name.clone(),
            key_type: key.key_type,
            digest: key.digest.to_document(),
            hint: key.hint,
            own_secret: key.own_secret,
            older: key.older.iter().map(OlderLine::new).collect(),
            state: key.state,
            settings: key.settings.clone(),
            networks: None,
            created_by: key.created_by.clone(),
            created_at: key.created_at,
            modified_at: key.modified_at,
            modified_by: key.modified_by.clone(),
            expires_at: key.expires_at,
            rev: key.rev,
        }
    }

    /// `known` is the tenant of the line before: a million keys of one tenant share one name of it.
    pub(super) fn key(self, known: Option<&TenantId>) -> Option<TaggedKey> {
        let tenant = match known.filter(|known| known.as_str() == self.tenant) {
            Some(known) => known.clone(),
            None => TenantId::parse(self.tenant).ok()?,
        };
        let mut settings = self.settings;
        if let Some(networks) = self.networks {
            settings.allowed_cidrs = networks;
        }
        let key = ApiKey {
            tenant,
            key_id: self.key_id,
            name: self.key_name,
            key_type: self.key_type,
            state: self.state,
            digest: Digest::parse(&self.digest).ok()?,
            hint: self.hint,
            own_secret: self.own_secret,
            older: OlderSecrets::try_from(self.older.into_iter().map(OlderLine::read).collect::<Option<Vec<_>>>()?)
                .ok()?,
            settings,
            created_by: self.created_by,
            created_at: self.created_at,
            modified_at: self.modified_at,
            modified_by: self.modified_by,
            expires_at: self.expires_at,
            rev: self.rev,
        };
        Some(TaggedKey { key: Arc::new(key), tag: self.tag })
    }
}

/// The record of a tenant. Its instants are as precise as those of its document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TenantLine {
    tenant: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Label>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    suspended: BTreeSet<KeyType>,
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    limits: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_key_lifetime_seconds: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_key_lifetime_seconds: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention_days: Option<RetentionDays>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified_by: Option<Actor>,
    #[serde(default, skip_serializing_if = "is_default")]
    deleted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    erased: bool,
}

impl From<&Tenant> for TenantLine {
    fn from(tenant: &Tenant) -> Self {
        let Tenant {
            id,
            name,
            suspended,
            limits,
            lifetimes,
            retention_days,
            created_at,
            modified_at,
            modified_by,
            deleted,
            erased,
        } = tenant.clone();
        Self {
            tenant: id,
            name,
            suspended,
            limits,
            default_key_lifetime_seconds: lifetimes.default_seconds,
            max_key_lifetime_seconds: lifetimes.max_seconds,
            retention_days,
            created_at,
            modified_at,
            modified_by,
            deleted,
            erased,
        }
    }
}

impl From<TenantLine> for Tenant {
    fn from(line: TenantLine) -> Self {
        let lifetimes = Lifetimes {
            default_seconds: line.default_key_lifetime_seconds,
            max_seconds: line.max_key_lifetime_seconds,
        };
        Self {
            id: line.tenant,
            name: line.name,
            suspended: line.suspended,
            limits: line.limits,
            lifetimes,
            retention_days: line.retention_days,
            created_at: line.created_at,
            modified_at: line.modified_at,
            modified_by: line.modified_by,
            deleted: line.deleted,
            erased: line.erased,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lines: &str) -> Vec<TaggedKey> {
        let read = |line| serde_json::from_str::<KeyLine<'_>>(line).unwrap().key(None).unwrap();
        lines.lines().map(read).collect()
    }

    fn written(key: &TaggedKey) -> String {
        serde_json::to_string(&KeyLine::new(key)).unwrap() + "\n"
    }

    #[test]
    fn golden_lines_parse_for_ever_and_those_of_today_are_written_as_they_were_read() {
        let old = keys(include_str!("../../../fixtures/snapshot/v1/lines.ndjson"));
        let golden = include_str!("../../../fixtures/snapshot/v2/lines.ndjson");
        assert_eq!(keys(golden).iter().map(written).collect::<String>(), golden);
        assert_eq!(old.iter().map(written).collect::<String>(), golden, "the same keys");
        assert!(!old[1].key.settings.allowed_cidrs.is_any());
    }

    #[test]
    fn golden_lines_of_tenants_parse_for_ever_and_are_written_as_they_were_read() {
        let golden = include_str!("../../../fixtures/snapshot/v2/tenants.ndjson");
        let tenants: Vec<Tenant> =
            golden.lines().map(|line| serde_json::from_str::<TenantLine>(line).unwrap().into()).collect();
        let written = tenants.iter().map(|tenant| serde_json::to_string(&TenantLine::from(tenant)).unwrap() + "\n");
        assert_eq!(written.collect::<String>(), golden);
        assert!(tenants[0] == Tenant::new(TenantId::default()) && tenants[2].deleted);
        assert_eq!(tenants[1].suspended.len(), 2);
    }

    #[test]
    fn a_key_of_unknown_state_has_a_tag_that_no_listing_shows() {
        let known = keys(include_str!("../../../fixtures/snapshot/v2/lines.ndjson")).remove(0);
        let unknown = TaggedKey { tag: None, ..known };
        assert!(written(&unknown).contains("\"tag\":0,"));
        assert_eq!(keys(&written(&unknown))[0].tag, None);
    }

    /// An imported secret may end in anything visible.
    #[test]
    fn a_hint_may_hold_what_json_escapes() {
        let known = keys(include_str!("../../../fixtures/snapshot/v2/lines.ndjson")).remove(0);
        let key = ApiKey { hint: Hint::parse("\"\\\"\\").unwrap(), ..(*known.key).clone() };
        let read = keys(&written(&TaggedKey { key: Arc::new(key.clone()), tag: None }));
        assert_eq!(*read[0].key, key);
    }
}
