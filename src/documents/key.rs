//! The versioned JSON of a key: camelCase, `version` first, unknown fields kept.

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::document::stamped;
use super::instant::{required, rfc3339};
use super::unreadable::has_field;
use super::{Document, LastWrite, RequestContext, Unreadable};
use crate::key::{
    Actor, ApiKey, Attribution, Digest, Hint, KeyId, KeyName, KeySettings, KeyState, KeyType, OlderSecret,
    OlderSecrets, RequestId, TenantId,
};
use crate::layout::ObjectName;

/// The only version there is.
const VERSION: u32 = 1;

/// A key document. Four fields are enough for a file written by hand: `version`, `keyName`, `keyType` and `digest`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyDocument {
    version: u32,
    #[serde(default)]
    key_id: Option<KeyId>,
    key_name: KeyName,
    key_type: KeyType,
    digest: String,
    #[serde(default)]
    hint: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    own_secret: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    older_secrets: Vec<OlderDocument>,
    #[serde(default)]
    state: KeyState,
    #[serde(flatten)]
    settings: KeySettings,
    #[serde(default)]
    created_by: Option<Actor>,
    #[serde(default, serialize_with = "rfc3339")]
    created_at: Option<DateTime<Utc>>,
    #[serde(default, serialize_with = "rfc3339")]
    modified_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    attribution: Attribution,
    #[serde(default, serialize_with = "rfc3339")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default = "first_rev")]
    rev: u64,
    /// Fresh in every body, so that a writer recognises its own write.
    #[serde(default)]
    write_id: Option<Uuid>,
    /// Fields that a later version, or an operator, added.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A secret that was rotated away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OlderDocument {
    digest: String,
    #[serde(default)]
    hint: String,
    #[serde(serialize_with = "required")]
    until: DateTime<Utc>,
}

impl OlderDocument {
    fn new(older: &OlderSecret) -> Self {
        Self { digest: older.digest.to_document(), hint: older.hint.as_str().to_owned(), until: older.until }
    }

    fn read(&self) -> Option<OlderSecret> {
        let (digest, hint) = (Digest::parse(&self.digest).ok()?, Hint::parse(&self.hint).ok()?);
        Some(OlderSecret { digest, hint, until: self.until.trunc_subsecs(3) })
    }
}

impl KeyDocument {
    /// The document of a key that is about to be written.
    pub fn new(key: &ApiKey) -> Self {
        Self {
            version: VERSION,
            key_id: Some(key.key_id),
            key_name: key.name.clone(),
            key_type: key.key_type,
            digest: key.digest.to_document(),
            hint: key.hint.as_str().to_owned(),
            own_secret: key.own_secret,
            older_secrets: key.older.iter().map(OlderDocument::new).collect(),
            state: key.state,
            settings: key.settings.clone(),
            created_by: key.created_by.clone(),
            created_at: key.created_at,
            modified_at: key.modified_at,
            attribution: Attribution { modified_by: key.modified_by.clone(), request_id: None },
            expires_at: key.expires_at,
            rev: key.rev,
            write_id: None,
            unknown: Map::new(),
        }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Unreadable`] when it is no key document of a version that is understood.
    pub fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let document: Self = serde_json::from_slice(body).map_err(|error| {
            match Unreadable::explain("a key document", VERSION, body, &error) {
                Unreadable::Malformed { .. } if has_field(body, "apiKey") => Unreadable::Legacy,
                reason => reason,
            }
        })?;
        if document.version == VERSION { Ok(document) } else { Err(Unreadable::Version(document.version)) }
    }

    /// The key that the document `file_id` of `tenant` describes.
    ///
    /// # Errors
    /// [`Unreadable`] when a field is wrong; nothing is guessed.
    pub fn key(&self, tenant: &TenantId, file_id: KeyId) -> Result<ApiKey, Unreadable> {
        if self.key_id.is_some_and(|id| id != file_id) {
            return Err(Unreadable::WrongId);
        }
        let older: Option<Vec<_>> = self.older_secrets.iter().map(OlderDocument::read).collect();
        let older = older.and_then(|older| OlderSecrets::try_from(older).ok());
        Ok(ApiKey {
            tenant: tenant.clone(),
            key_id: file_id,
            name: self.key_name.clone(),
            key_type: self.key_type,
            state: self.state,
            digest: Digest::parse(&self.digest).map_err(|_| Unreadable::Field("digest"))?,
            hint: Hint::parse(&self.hint).map_err(|_| Unreadable::Field("hint"))?,
            own_secret: self.own_secret,
            older: older.ok_or(Unreadable::Field("olderSecrets"))?,
            settings: self.settings.clone(),
            created_by: self.created_by.clone(),
            created_at: self.created_at.map(|at| at.trunc_subsecs(3)),
            modified_at: self.modified_at.map(|at| at.trunc_subsecs(3)),
            modified_by: self.attribution.modified_by.clone(),
            expires_at: self.expires_at.map(|end| end.trunc_subsecs(3)),
            rev: self.rev,
        })
    }

    /// The bytes to store, different at every call.
    pub fn to_bytes(&self) -> Bytes {
        stamped(self, |document, write_id| document.write_id = Some(write_id))
    }
}

/// A key as it is stored, with the other fields of its document.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The key.
    pub key: ApiKey,
    request_id: Option<RequestId>,
    /// Of the write that it was read from.
    write_id: Option<Uuid>,
    unknown: Map<String, Value>,
}

impl StoredKey {
    /// A key that is about to be written for the first time.
    pub fn new(key: ApiKey) -> Self {
        Self { key, request_id: None, write_id: None, unknown: Map::new() }
    }

    /// Its last write.
    pub fn last_write(&self) -> LastWrite {
        let by = Attribution { modified_by: self.key.modified_by.clone(), request_id: self.request_id };
        LastWrite { write_id: self.write_id, by, at: self.key.modified_at }
    }

    /// Notes who changes the key, and when.
    pub fn attribute(&mut self, context: &RequestContext, now: DateTime<Utc>) {
        self.key.modified_at = Some(now);
        self.key.modified_by = Some(context.actor.clone());
        self.request_id = context.request_id;
    }
}

impl Document for StoredKey {
    type Id = (TenantId, KeyId);

    const NAME: &'static str = "the document of the key";

    fn object((tenant, key_id): &Self::Id) -> ObjectName {
        ObjectName::Key { tenant: tenant.clone(), key_id: *key_id }
    }

    fn parse((tenant, key_id): &Self::Id, body: &[u8]) -> Result<Self, Unreadable> {
        let document = KeyDocument::parse(body)?;
        let key = document.key(tenant, *key_id)?;
        let KeyDocument { attribution, write_id, unknown, .. } = document;
        Ok(Self { key, request_id: attribution.request_id, write_id, unknown })
    }

    fn to_bytes(&self) -> Bytes {
        let mut document = KeyDocument { unknown: self.unknown.clone(), ..KeyDocument::new(&self.key) };
        document.attribution.request_id = self.request_id;
        document.to_bytes()
    }
}

fn first_rev() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10";

    fn stored(body: &str) -> StoredKey {
        StoredKey::parse(&(TenantId::default(), KeyId::parse(ID).unwrap()), body.as_bytes()).unwrap()
    }

    fn key(body: &str) -> Result<ApiKey, Unreadable> {
        KeyDocument::parse(body.as_bytes())?.key(&TenantId::default(), KeyId::parse(ID).unwrap())
    }

    #[test]
    fn golden_documents_parse_for_ever() {
        let full = key(include_str!("../../fixtures/key/v1/full.json")).unwrap();
        assert_eq!((full.name.as_str(), full.key_type, full.rev), ("checkout-api", KeyType::Ingestion, 1));
        assert_eq!(full.hint.as_str(), "x7Qa");
        let minimal = key(include_str!("../../fixtures/key/v1/minimal.json")).unwrap();
        assert_eq!((minimal.state, minimal.settings, minimal.rev), (KeyState::Active, KeySettings::default(), 1));
        let later = key(include_str!("../../fixtures/key/v1/unknown-fields.json")).unwrap();
        assert_eq!(later.key_type, KeyType::Query);
        let rotated = key(include_str!("../../fixtures/key/v1/rotated.json")).unwrap();
        let until: Vec<_> = rotated.older.iter().map(|older| older.until.timestamp_millis()).collect();
        assert_eq!((rotated.own_secret, until), (true, vec![1_795_914_123_456, 1_795_312_923_000]));
        assert!(rotated.older_until(&Digest::of("a")).is_none() && rotated.digest == Digest::of("test"));
        let attributed = key(include_str!("../../fixtures/key/v1/attributed.json")).unwrap();
        assert_eq!((attributed.created_by, attributed.modified_by), (Some(Actor::AdminToken), Some(Actor::System)));
        let deciding = key(include_str!("../../fixtures/key/v1/deciding.json")).unwrap();
        assert_eq!(deciding.settings.decide, Some(true));
        assert!(attributed.settings.may_decide() && !KeySettings::default().may_decide());
        let limited = key(include_str!("../../fixtures/key/v1/limited.json")).unwrap();
        let settings = limited.settings;
        assert_eq!((settings.allowed_cidrs.iter().count(), settings.limits.get().events), (3, None));
    }

    /// What is written of a golden document, under its own write id.
    fn written(golden: &str) -> String {
        let write_id = KeyDocument::parse(golden.as_bytes()).unwrap().write_id;
        let document = KeyDocument { write_id, ..KeyDocument::parse(&stored(golden).to_bytes()).unwrap() };
        serde_json::to_string_pretty(&document).unwrap()
    }

    #[test]
    fn a_golden_document_of_today_is_written_as_it_was_read() {
        let golden = include_str!("../../fixtures/key/v1/deciding.json");
        assert_eq!(written(golden), golden.trim_end());
    }

    #[test]
    fn golden_documents_keep_every_field_when_they_are_written() {
        for golden in [
            include_str!("../../fixtures/key/v1/full.json"),
            include_str!("../../fixtures/key/v1/attributed.json"),
            include_str!("../../fixtures/key/v1/rotated.json"),
            include_str!("../../fixtures/key/v1/limited.json"),
            include_str!("../../fixtures/key/v1/unknown-fields.json"),
        ] {
            let written: Value = serde_json::from_str(&written(golden)).unwrap();
            let golden: Map<String, Value> = serde_json::from_str(golden).unwrap();
            assert!(golden.iter().all(|(field, value)| written[field] == *value), "{written}");
        }
    }

    #[test]
    fn what_is_no_key_says_why_and_quotes_nothing() {
        let legacy = r#"{"keyId":"01J","apiKey":"c0ffee","keyName":"old","createdBy":"me"}"#;
        let minimal = include_str!("../../fixtures/key/v1/minimal.json");
        for (body, reason) in [
            (legacy.to_owned(), Unreadable::Legacy),
            (String::new(), Unreadable::Malformed { kind: "a key document", category: "end of file", line: 1 }),
            (
                "{\n\"version\":1".to_owned(),
                Unreadable::Malformed { kind: "a key document", category: "end of file", line: 2 },
            ),
            ("[]".to_owned(), Unreadable::Malformed { kind: "a key document", category: "data", line: 1 }),
            (r#"{"version":2,"shape":"new"}"#.to_owned(), Unreadable::Version(2)),
            (minimal.replace("\"version\": 1", "\"version\": 7"), Unreadable::Version(7)),
            (minimal.replace("sha256:", "md5:"), Unreadable::Field("digest")),
            (minimal.replacen('{', &format!("{{\"keyId\":\"{}\",", KeyId::random()), 1), Unreadable::WrongId),
        ] {
            let error = key(&body).unwrap_err();
            assert_eq!(error, reason, "{body}");
            assert!(!error.to_string().contains("c0ffee"));
        }
    }

    #[test]
    fn a_file_that_uses_the_names_of_the_attribution_for_something_else_is_read() {
        let minimal = include_str!("../../fixtures/key/v1/minimal.json");
        let odd = minimal.replacen('{', r#"{"modifiedBy": {"name": "me"}, "requestId": [1],"#, 1);
        assert_eq!(key(&odd).unwrap(), key(minimal).unwrap());
    }

    proptest! {
        #[test]
        fn unknown_fields_survive_a_read_modify_write(name in "x-[a-z]{1,8}", value in "[^\\x00-\\x1f]{0,20}") {
            let mut fields: Map<String, Value> =
                serde_json::from_str(include_str!("../../fixtures/key/v1/minimal.json")).unwrap();
            fields.insert(name.clone(), Value::from(value.clone()));
            let mut stored = stored(&serde_json::to_string(&fields).unwrap());
            stored.key.state = KeyState::Disabled;
            let written: Value = serde_json::from_slice(&stored.to_bytes()).unwrap();
            prop_assert_eq!(&written[&name], &Value::from(value));
            prop_assert_eq!(&written["state"], "disabled");
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(KeyDocument::parse(&body).is_err());
        }
    }
}
