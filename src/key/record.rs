//! A key as the keystore knows it: everything but the secret.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Actor, Digest, Hint, KeyId, KeyName, KeySettings, KeyState, KeyType, OlderSecrets, SettingsPatch, StreamName,
    StreamPattern, Streams, TenantId,
};
use crate::key::InvalidId;

/// A key: who it belongs to, what it may do, until when. Laid out to be small, because every node holds them all.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// The tenant whose streams it opens.
    pub tenant: TenantId,
    /// Its id, for ever.
    pub key_id: KeyId,
    /// Its name, unique among the live keys of the tenant.
    pub name: KeyName,
    /// What it is for.
    pub key_type: KeyType,
    /// What an operator decided; see [`ApiKey::standing`] for what that means now.
    pub state: KeyState,
    /// The digest of its secret.
    pub digest: Digest,
    /// The end of its secret, for lists.
    pub hint: Hint,
    /// Whether its secret was brought by whoever issued it, not made by Keyloft.
    pub own_secret: bool,
    /// The secrets it had before, as long as they work.
    pub older: OlderSecrets,
    /// What it may have besides.
    pub settings: KeySettings,
    /// Who issued it; `None` when a file written by hand does not say.
    pub created_by: Option<Actor>,
    /// When it was issued; `None` when a file written by hand does not say.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub modified_at: Option<DateTime<Utc>>,
    /// Who changed it last; `None` when the document does not say.
    pub modified_by: Option<Actor>,
    /// The first instant at which it no longer works.
    pub expires_at: Option<DateTime<Utc>>,
    /// Counts changes, from 1.
    pub rev: u64,
}

/// What a key is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It authenticates.
    Good,
    /// Its `expires_at` has come.
    Expired,
    /// An operator disabled it.
    Disabled,
    /// An operator revoked it.
    Revoked,
}

impl ApiKey {
    /// What the key is worth at `now`.
    pub fn standing(&self, now: DateTime<Utc>) -> Standing {
        match self.state {
            KeyState::Revoked => Standing::Revoked,
            KeyState::Disabled => Standing::Disabled,
            KeyState::Active if self.expires_at.is_some_and(|end| end <= now) => Standing::Expired,
            KeyState::Active => Standing::Good,
        }
    }

    /// Whether the key may touch `stream`. Nobody writes into a system stream, whatever its patterns say.
    pub fn covers(&self, stream: &StreamName) -> bool {
        self.settings.streams.allow(stream) && !(stream.is_system() && self.key_type == KeyType::Ingestion)
    }

    /// Whether the key holds its name: every key that is not revoked does.
    pub fn is_live(&self) -> bool {
        self.state != KeyState::Revoked
    }

    /// The form lists show: prefix, `…`, last four characters; of a secret that was brought along no prefix is known.
    pub fn masked(&self) -> String {
        let prefix = if self.own_secret { "" } else { self.key_type.prefix() };
        format!("{prefix}…{}", self.hint.as_str())
    }
}

/// What an operator says when issuing a key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name, unique among the live keys of the tenant.
    pub name: KeyName,
    /// What it is for.
    pub key_type: KeyType,
    /// What it may have besides.
    pub settings: KeySettings,
    /// The first instant at which it no longer works; `Some(None)` is never, `None` what its tenant says.
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

impl NewKey {
    /// A key with the default settings, which expires as its tenant says.
    pub fn new(name: KeyName, key_type: KeyType) -> Self {
        Self { name, key_type, settings: KeySettings::default(), expires_at: None }
    }

    /// The key that this becomes: active, with a fresh id, revision 1. The keystore adds who issued it, the dates, and the
    /// expiry that the tenant sets when the request sets none.
    pub fn into_key(self, tenant: TenantId, digest: Digest, hint: Hint) -> ApiKey {
        ApiKey {
            tenant,
            key_id: KeyId::random(),
            name: self.name,
            key_type: self.key_type,
            state: KeyState::Active,
            digest,
            hint,
            own_secret: false,
            older: OlderSecrets::default(),
            settings: self.settings,
            created_by: None,
            created_at: None,
            modified_at: None,
            modified_by: None,
            expires_at: self.expires_at.flatten(),
            rev: 1,
        }
    }
}

/// What an operator changes; `None` leaves a field as it is, `Some(None)` clears it. Name and type never change.
#[derive(Debug, Clone, Default)]
pub struct KeyPatch {
    /// Its settings.
    pub settings: SettingsPatch,
    /// `true` makes it active, `false` disables it. Revoking is another operation, because it is final.
    pub active: Option<bool>,
    /// The first instant at which it no longer works.
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// Whether the secrets it had before stop working at once.
    pub end_overlap: bool,
}

impl KeyPatch {
    /// Makes the changes.
    pub fn apply(self, key: &mut ApiKey) {
        let Self { settings, active, expires_at, end_overlap } = self;
        settings.apply(&mut key.settings);
        if let Some(active) = active {
            key.state = if active { KeyState::Active } else { KeyState::Disabled };
        }
        if let Some(expires_at) = expires_at {
            key.expires_at = expires_at;
        }
        if end_overlap {
            key.older = OlderSecrets::default();
        }
    }
}

impl From<SettingsPatch> for KeyPatch {
    fn from(settings: SettingsPatch) -> Self {
        Self { settings, ..Self::default() }
    }
}

/// A JSON object of the operator's own, at most 4 KiB when written compactly.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(Option<Box<Map<String, Value>>>);

impl Metadata {
    /// The largest accepted size, in bytes of compact JSON.
    pub const MAX_BYTES: usize = 4096;
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().flat_map(|map| map.iter()))
    }
}

impl TryFrom<Map<String, Value>> for Metadata {
    type Error = InvalidId;

    /// # Errors
    /// [`InvalidId`] above [`Metadata::MAX_BYTES`].
    fn try_from(map: Map<String, Value>) -> Result<Self, InvalidId> {
        const RULE: InvalidId = InvalidId::new("metadata", "a JSON object of at most 4 KiB");
        if map.is_empty() {
            return Ok(Self(None));
        }
        let bytes = serde_json::to_vec(&map).map_err(|_| RULE)?.len();
        if bytes <= Self::MAX_BYTES { Ok(Self(Some(Box::new(map)))) } else { Err(RULE) }
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// Shorthand for the patterns of a key: every pattern must parse.
impl std::str::FromStr for Streams {
    type Err = InvalidId;

    /// Reads comma-separated patterns.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.split(',')
            .filter(|piece| !piece.trim().is_empty())
            .map(|piece| StreamPattern::parse(piece.trim()))
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::key::Label;

    fn key() -> ApiKey {
        let new = NewKey::new(KeyName::parse("checkout").unwrap(), KeyType::Ingestion);
        new.into_key(TenantId::default(), Digest::of("x"), Hint::parse("x7Qa").unwrap())
    }

    #[test]
    fn a_key_expires_at_the_very_instant() {
        let end = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let key = ApiKey { expires_at: Some(end), ..key() };
        assert_eq!(key.standing(end - TimeDelta::milliseconds(1)), Standing::Good);
        assert_eq!(key.standing(end), Standing::Expired);
    }

    #[test]
    fn a_decision_weighs_more_than_the_clock() {
        let past = Some(DateTime::UNIX_EPOCH);
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let disabled = ApiKey { expires_at: past, state: KeyState::Disabled, ..key() };
        let revoked = ApiKey { expires_at: past, state: KeyState::Revoked, ..key() };
        assert_eq!(disabled.standing(now), Standing::Disabled);
        assert_eq!(revoked.standing(now), Standing::Revoked);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_clears_what_it_nulls() {
        let mut key = key();
        key.settings.source_id = Label::parse("web").ok();
        KeyPatch { active: Some(false), ..KeyPatch::default() }.apply(&mut key);
        assert_eq!((key.state, key.settings.source_id.is_some()), (KeyState::Disabled, true));
        KeyPatch::from(SettingsPatch { source_id: Some(None), ..SettingsPatch::default() }).apply(&mut key);
        assert_eq!((key.state, key.settings.source_id), (KeyState::Disabled, None));
    }

    #[test]
    fn the_mask_shows_four_characters_at_most() {
        assert_eq!(key().masked(), "kl_ing_…x7Qa");
        assert_eq!(ApiKey { own_secret: true, ..key() }.masked(), "…x7Qa");
    }
}
