//! The settings of a key besides its name, type and secret. A new setting is added here and to the request bodies in
//! `http/settings.rs`: records, documents, snapshots and answers carry all of them, and the compiler names each place
//! that forgets one.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{InvalidId, KeyLimits, Label, Networks, Streams};

/// The settings of a key. Documents and answers hold all of them, flattened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeySettings {
    /// The streams it may touch.
    pub streams: Streams,
    /// The sending system, stored with every event as `p_source_id`.
    pub source_id: Option<Label>,
    /// How far the operator trusts the source.
    pub trust_level: TrustLevel,
    /// Whether it may ask for decisions of traffic policies; `None` as [`KeySettings::may_decide`] says.
    pub decide: Option<bool>,
    /// The networks it may be used from.
    pub allowed_cidrs: Networks,
    /// Its rate limits.
    pub limits: KeyLimits,
    /// The operator's own notes.
    pub metadata: Metadata,
}

impl KeySettings {
    /// Whether a key with these settings may ask for decisions of traffic policies, if its type allows it: unless it
    /// says so, when it names the system that sends. A system that reports traffic fills the counters of policies.
    pub fn may_decide(&self) -> bool {
        self.decide.unwrap_or(self.source_id.is_some())
    }
}

/// Changes of the settings; `None` leaves one as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SettingsPatch {
    /// The streams it may touch, replaced whole.
    pub streams: Option<Streams>,
    /// The sending system.
    pub source_id: Option<Option<Label>>,
    /// How far the operator trusts the source.
    pub trust_level: Option<TrustLevel>,
    /// Whether it may ask for decisions.
    pub decide: Option<Option<bool>>,
    /// The networks it may be used from, replaced whole.
    pub allowed_cidrs: Option<Networks>,
    /// Its rate limits, replaced whole.
    pub limits: Option<KeyLimits>,
    /// The operator's own notes, replaced whole.
    pub metadata: Option<Metadata>,
}

impl SettingsPatch {
    /// Makes the changes.
    pub fn apply(self, settings: &mut KeySettings) {
        let Self { streams, source_id, trust_level, decide, allowed_cidrs, limits, metadata } = self;
        set(&mut settings.streams, streams);
        set(&mut settings.source_id, source_id);
        set(&mut settings.trust_level, trust_level);
        set(&mut settings.decide, decide);
        set(&mut settings.allowed_cidrs, allowed_cidrs);
        set(&mut settings.limits, limits);
        set(&mut settings.metadata, metadata);
    }
}

/// Every setting, whatever it was before.
impl From<KeySettings> for SettingsPatch {
    fn from(settings: KeySettings) -> Self {
        let KeySettings { streams, source_id, trust_level, decide, allowed_cidrs, limits, metadata } = settings;
        Self {
            streams: Some(streams),
            source_id: Some(source_id),
            trust_level: Some(trust_level),
            decide: Some(decide),
            allowed_cidrs: Some(allowed_cidrs),
            limits: Some(limits),
            metadata: Some(metadata),
        }
    }
}

/// Writes only the settings that differ from the default: for snapshots, which hold a million keys.
///
/// # Errors
/// Those of the serializer.
pub(crate) fn sparse<S: Serializer>(settings: &KeySettings, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Sparse<'a> {
        #[serde(skip_serializing_if = "is_default")]
        streams: &'a Streams,
        #[serde(skip_serializing_if = "is_default")]
        source_id: &'a Option<Label>,
        #[serde(skip_serializing_if = "is_default")]
        trust_level: &'a TrustLevel,
        #[serde(skip_serializing_if = "is_default")]
        decide: &'a Option<bool>,
        #[serde(skip_serializing_if = "is_default")]
        allowed_cidrs: &'a Networks,
        #[serde(skip_serializing_if = "is_default")]
        limits: &'a KeyLimits,
        #[serde(skip_serializing_if = "is_default")]
        metadata: &'a Metadata,
    }
    let KeySettings { streams, source_id, trust_level, decide, allowed_cidrs, limits, metadata } = settings;
    Sparse { streams, source_id, trust_level, decide, allowed_cidrs, limits, metadata }.serialize(serializer)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn is_default<T: Default + PartialEq>(value: &&T) -> bool {
    **value == T::default()
}

/// How far an operator trusts the source of a key. [`TrustLevel::STANDARD`] takes no memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrustLevel(Option<Label>);

impl TrustLevel {
    /// The default level.
    pub const STANDARD: &'static str = "standard";

    /// The level as text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or(Self::STANDARD, Label::as_str)
    }
}

impl From<Label> for TrustLevel {
    fn from(label: Label) -> Self {
        Self((label.as_str() != Self::STANDARD).then_some(label))
    }
}

impl fmt::Debug for TrustLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustLevel({})", self.as_str())
    }
}

impl Serialize for TrustLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TrustLevel {
    /// Reads a label; `null` is the standard.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Label>::deserialize(deserializer)?.map(Self::from).unwrap_or_default())
    }
}

/// A JSON object of the operator's own, at most 4 KiB when written compactly.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(Option<Box<Map<String, Value>>>);

impl Metadata {
    /// The largest accepted size, in bytes of compact JSON.
    pub const MAX_BYTES: usize = 4096;
    /// How deep it may be nested: an answer with it must stay within what JSON parsers take.
    pub const MAX_DEPTH: usize = 32;

    /// Checks what is new: older documents may be nested deeper.
    ///
    /// # Errors
    /// [`InvalidId`] above [`Metadata::MAX_DEPTH`].
    pub fn check(&self) -> Result<(), InvalidId> {
        const RULE: InvalidId = InvalidId::new("metadata", "nested at most 32 levels");
        let mut level: Vec<&Value> = self.0.iter().flat_map(|map| map.values()).collect();
        for _ in 1..=Self::MAX_DEPTH {
            if level.is_empty() {
                return Ok(());
            }
            level = level.into_iter().flat_map(inner).collect();
        }
        if level.is_empty() { Ok(()) } else { Err(RULE) }
    }
}

/// The values in an array or an object.
fn inner(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::key::{Limits, Rate};

    #[derive(Serialize, Deserialize)]
    struct Line {
        #[serde(flatten, serialize_with = "sparse")]
        settings: KeySettings,
    }

    /// Settings that all differ from the default.
    fn all() -> KeySettings {
        let settings = KeySettings {
            streams: "web-*".parse().unwrap(),
            source_id: Label::parse("web").ok(),
            trust_level: Label::parse("low").unwrap().into(),
            decide: Some(false),
            allowed_cidrs: "10.0.0.0/8".parse().unwrap(),
            limits: Limits { requests: Rate::per_minute(5).ok(), ..Limits::default() }.into(),
            metadata: Metadata::try_from(json!({"a": 1}).as_object().unwrap().clone()).unwrap(),
        };
        let (all, none) = (json!(settings), json!(KeySettings::default()));
        assert!(all.as_object().unwrap().iter().all(|(field, value)| *value != none[field]), "{all}");
        settings
    }

    #[test]
    fn documents_snapshots_and_patches_carry_every_setting() {
        let json = json!(all());
        assert_eq!(serde_json::from_value::<KeySettings>(json.clone()).unwrap(), all());
        assert_eq!(json!(Line { settings: all() }), json);
        assert_eq!(serde_json::from_value::<Line>(json.clone()).unwrap().settings, all());
        let mut settings = KeySettings::default();
        SettingsPatch::from(all()).apply(&mut settings);
        assert_eq!(settings, all());
    }

    #[test]
    fn what_is_absent_is_the_default_and_in_a_patch_stays() {
        assert_eq!(json!(Line { settings: KeySettings::default() }), json!({}));
        assert_eq!(serde_json::from_value::<KeySettings>(json!({})).unwrap(), KeySettings::default());
        let mut settings = all();
        SettingsPatch::default().apply(&mut settings);
        assert_eq!(settings, all());
    }

    #[test]
    fn the_standard_trust_level_is_none_however_it_is_said() {
        let read = |value| serde_json::from_value::<TrustLevel>(value).unwrap();
        assert_eq!((read(json!("standard")), read(json!(null))), (TrustLevel::default(), TrustLevel::default()));
        assert_eq!(read(json!("low")).as_str(), "low");
        assert_eq!(json!(TrustLevel::default()), json!("standard"));
    }
}
