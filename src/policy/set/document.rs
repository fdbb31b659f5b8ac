//! A policy set as a value, and as the document of one of its versions.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::parts::{Action, EntityDefinition, Mitigation, Policy};

/// The version of the document's layout.
pub const DOCUMENT_VERSION: u32 = 1;
/// The version of the expression language that [`crate::policy`] evaluates.
pub const LANGUAGE_VERSION: u32 = 1;

/// All policies of a tenant. They change together, are valid together or not at all, and go back together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicySet {
    /// Whether decisions are enforced.
    pub mode: SetMode,
    /// Whom nothing is done about, whatever else holds: it wins over policies and over active mitigations.
    pub exempt: Option<String>,
    /// Which ingested events are judged, and how they are read.
    pub traffic: Traffic,
    /// What traffic is.
    pub actions: Vec<Action>,
    /// Who acts.
    pub entities: Vec<EntityDefinition>,
    /// What to do about it.
    pub mitigations: Vec<Mitigation>,
    /// When.
    pub policies: Vec<Policy>,
}

/// Whether the decisions of a set are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetMode {
    /// Policies do what their mitigations say.
    #[default]
    Enforce,
    /// Everything is evaluated and recorded, and no answer is changed.
    Monitor,
    /// Nothing is evaluated.
    Off,
}

/// Which ingested events are judged, and how they are read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Traffic {
    /// Names of streams, or patterns with a final `*`. Without any, no ingested event is judged.
    pub streams: Vec<String>,
    /// How their events are read.
    pub format: TrafficFormat,
    /// In the format `map`: from our field to the dotted name of theirs.
    pub map: std::collections::BTreeMap<String, String>,
    /// Which requests are recorded.
    pub record: Record,
}

/// How the events of a traffic stream are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrafficFormat {
    /// By the names of the Elastic Common Schema: `source.ip`, `http.request.method`, `url.path`.
    #[default]
    Ecs,
    /// As `POST /api/v1/decide` takes them.
    Keyloft,
    /// By the names in `map`.
    Map,
}

/// Which requests are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Those that matched a policy.
    #[default]
    Matched,
    /// Every one, so that a draft can be tried on them.
    All,
}

/// The document of one version of a set. It refuses members that it does not know: a rule of which a part is not
/// understood must not be enforced without that part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySetDocument {
    /// [`DOCUMENT_VERSION`].
    pub version: u32,
    /// [`LANGUAGE_VERSION`].
    pub language: u32,
    /// Its number: 1 is the first set of a tenant.
    pub policy_set_version: u64,
    /// When it was made.
    #[serde(serialize_with = "milliseconds")]
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: String,
    /// By which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What its author says about it.
    #[serde(default)]
    pub comment: Option<String>,
    /// The version that it brings back.
    #[serde(default)]
    pub restores: Option<u64>,
    /// By which a writer recognises its own write.
    #[serde(default)]
    pub write_id: Option<Uuid>,
    /// See [`PolicySet::mode`].
    #[serde(default)]
    pub mode: SetMode,
    /// See [`PolicySet::exempt`].
    #[serde(default)]
    pub exempt: Option<String>,
    /// See [`PolicySet::traffic`].
    #[serde(default)]
    pub traffic: Traffic,
    /// See [`PolicySet::actions`].
    #[serde(default)]
    pub actions: Vec<Action>,
    /// See [`PolicySet::entities`].
    #[serde(default)]
    pub entities: Vec<EntityDefinition>,
    /// See [`PolicySet::mitigations`].
    #[serde(default)]
    pub mitigations: Vec<Mitigation>,
    /// See [`PolicySet::policies`].
    #[serde(default)]
    pub policies: Vec<Policy>,
}

impl PolicySetDocument {
    /// The document of a set.
    pub fn new(set: PolicySet, number: u64, created_at: DateTime<Utc>, created_by: String) -> Self {
        let PolicySet { mode, exempt, traffic, actions, entities, mitigations, policies } = set;
        Self {
            version: DOCUMENT_VERSION,
            language: LANGUAGE_VERSION,
            policy_set_version: number,
            created_at,
            created_by,
            request_id: None,
            comment: None,
            restores: None,
            write_id: None,
            mode,
            exempt,
            traffic,
            actions,
            entities,
            mitigations,
            policies,
        }
    }

    /// The set that it holds.
    pub fn into_set(self) -> PolicySet {
        let Self { mode, exempt, traffic, actions, entities, mitigations, policies, .. } = self;
        PolicySet { mode, exempt, traffic, actions, entities, mitigations, policies }
    }
}

/// RFC 3339 in UTC with milliseconds and `Z`, as every document writes it.
fn milliseconds<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}
