//! What every set knows without saying it. A set may say its own part under the same name, and then that one counts.

use uuid::Uuid;

use super::ids::{ActionId, EntityDefinitionId, MitigationId};
use super::parts::{Action, Challenge, EntityDefinition, Mitigation, Mode, OnMissing};

/// The starters have ids of UUID version 8 that never change: pseudonyms of entities depend on them.
const fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x6b65_796c_6f66_8000_8000_0000_0000_0000 | number)
}

/// `bot-crawlers`: user agents that say that they are programs.
pub fn actions() -> [Action; 1] {
    [Action {
        action_id: Some(ActionId(id(0x0101))),
        name: "bot-crawlers".to_owned(),
        enabled: true,
        expression: r"user_agent.matches('(?i)bot|crawl|spider')".to_owned(),
    }]
}

/// `ip-user-agent`: one program on one network; those that do not name themselves are one, too, so that nobody escapes
/// by leaving out a header. `network`: everybody on one network.
pub fn entities() -> [EntityDefinition; 2] {
    let both = EntityDefinition {
        match_expression: Some("has(client_network)".to_owned()),
        on_missing: OnMissing::Group,
        ..entity(0x0201, "ip-user-agent", &["client_network", "user_agent"])
    };
    [both, entity(0x0202, "network", &["client_network"])]
}

/// `monitor`, `challenge` and `block`: each mode, for the request at hand only.
pub fn mitigations() -> [Mitigation; 3] {
    [
        mitigation(0x0301, Mode::Monitor, None),
        mitigation(0x0302, Mode::Challenge, Some(Challenge::default())),
        mitigation(0x0303, Mode::Block, None),
    ]
}

fn entity(number: u128, name: &str, fields: &[&str]) -> EntityDefinition {
    EntityDefinition {
        entity_definition_id: Some(EntityDefinitionId(id(number))),
        name: name.to_owned(),
        key_fields: fields.iter().map(|&field| field.to_owned()).collect(),
        match_expression: None,
        on_missing: OnMissing::Skip,
    }
}

fn mitigation(number: u128, mode: Mode, challenge: Option<Challenge>) -> Mitigation {
    Mitigation {
        mitigation_id: Some(MitigationId(id(number))),
        name: mode.as_str().to_owned(),
        mode,
        duration_seconds: None,
        challenge,
    }
}
