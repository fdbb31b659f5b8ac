//! The parts of a set, as documents and requests write them. Only their shape is checked here, not
//! their values.

use serde::{Deserialize, Serialize};

use super::ids::{ActionId, EntityDefinitionId, MitigationId, PolicyId};

/// What traffic is, in the words of the tenant: a named condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Action {
    /// Its id; a request may leave it to the server.
    #[serde(default)]
    pub action_id: Option<ActionId>,
    /// Its name, unique among the actions of the set. Expressions say `action("name")`.
    pub name: String,
    /// Whether it is looked at. A disabled action matches nothing.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its condition.
    pub expression: String,
}

/// Who acts: the fields whose values together tell one client from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntityDefinition {
    /// Its id; a request may leave it to the server.
    #[serde(default)]
    pub entity_definition_id: Option<EntityDefinitionId>,
    /// Its name, unique among the entities of the set.
    pub name: String,
    /// The fields, in an order that is part of the pseudonym.
    pub key_fields: Vec<String>,
    /// Which events have such an entity; every one when absent.
    #[serde(default)]
    pub match_expression: Option<String>,
    /// What happens to an event that lacks one of the fields.
    #[serde(default)]
    pub on_missing: OnMissing,
}

/// What happens to an event that lacks a field of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnMissing {
    /// It has no such entity, so policies about the entity do not apply to it.
    #[default]
    Skip,
    /// All events that lack the field are one entity, as far as their other fields agree.
    Group,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mitigation {
    /// Its id; a request may leave it to the server.
    #[serde(default)]
    pub mitigation_id: Option<MitigationId>,
    /// Its name, unique among the mitigations of the set.
    pub name: String,
    /// Whether matches are recorded, challenged or blocked.
    pub mode: Mode,
    /// How long an entity that crossed a window is held, in seconds; not at all when absent.
    #[serde(default)]
    pub duration_seconds: Option<u32>,
    /// The challenge, of use in the mode `challenge` only.
    #[serde(default)]
    pub challenge: Option<Challenge>,
}

/// How strong a mitigation is, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A match is recorded and changes no answer.
    Monitor,
    /// The client has to solve a challenge, unless it shows that it did.
    Challenge,
    /// The request is refused.
    Block,
}

impl Mode {
    /// The word of documents and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Challenge => "challenge",
            Self::Block => "block",
        }
    }
}

/// How hard a challenge is, and for how long it is solved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Challenge {
    /// How much work it asks for.
    pub level: Level,
    /// For how long a clearance is good, in seconds.
    pub ttl_seconds: u32,
    /// Whether the weak clearance of a client without JavaScript is enough.
    pub accept_weak: bool,
}

impl Default for Challenge {
    fn default() -> Self {
        Self { level: Level::default(), ttl_seconds: 3600, accept_weak: false }
    }
}

/// How much work a challenge asks for, least first. A clearance of a higher level is good for a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The least.
    Low,
    /// What a mitigation asks for unless it says otherwise.
    #[default]
    Medium,
    /// The most.
    High,
}

/// When something is done about whom: the rule that joins actions, an entity and a mitigation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Its id; a request may leave it to the server.
    #[serde(default)]
    pub policy_id: Option<PolicyId>,
    /// Its name, unique among the policies of the set.
    pub name: String,
    /// Whether it is evaluated.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Which policy is named as the reason when several of the strongest mode match: the one with the lowest number.
    #[serde(default = "usual_priority")]
    pub priority: u32,
    /// Its scope, which holds for the window and for an active mitigation too; every event when absent.
    #[serde(default)]
    pub expression: Option<String>,
    /// The actions of which an event has to be one; any event when there are none.
    #[serde(default)]
    pub action_ids: Vec<ActionId>,
    /// Whose events a window counts and whom a mitigation holds; not needed without either.
    #[serde(default)]
    pub entity_definition_id: Option<EntityDefinitionId>,
    /// What to do.
    pub mitigation_id: MitigationId,
    /// How often it has to happen; once when absent.
    #[serde(default)]
    pub window: Option<Window>,
}

/// How often something has to happen within how long. It counts the events in `(t - seconds, t]`, `t` included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Its length.
    pub seconds: u32,
    /// From how many on the policy applies.
    pub threshold: u32,
    /// Which events count; those that the expression and the actions of the policy match when absent.
    #[serde(default)]
    pub count: Option<String>,
    /// The field of which different values are counted, instead of events.
    #[serde(default)]
    pub distinct: Option<String>,
}

const fn yes() -> bool {
    true
}

const fn usual_priority() -> u32 {
    100
}
