//! Decisions.

mod explain;
mod figures;
mod order;
mod phases;
mod windows;

use serde_json::{Value as Json, json};

use super::{Decision, Match, Outcome, Outside, decide};
use crate::policy::entity::Pseudonyms;
use crate::policy::event::{Arrival, Door, Event, Text};
use crate::policy::set::{CompiledSet, EntityDefinitionId, PolicySet, compile};
use crate::policy::window::{MIN_POLICY_MEMORY, State};

/// 29 November 2026, 07:00 UTC.
const NOW_MS: i64 = 1_795_935_600_000;

/// The ids of the tests.
fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The same as that of a definition.
fn part(number: u32) -> EntityDefinitionId {
    EntityDefinitionId(id(number).parse().unwrap())
}

/// A set with what the tests of this folder need besides policies: the entities `ip` (2) and `user` (3), which groups,
/// and mitigations in each mode: monitor (10), challenge (11), block (12), and block for ten minutes (13).
fn set(others: Json, policies: Json) -> CompiledSet {
    let mut document = json!({
        "actions": [
            {"actionId": id(1), "name": "login", "expression": "request_path == '/login'"},
            {"actionId": id(9), "name": "off", "enabled": false, "expression": "true"},
        ],
        "entities": [
            {"entityDefinitionId": id(2), "name": "ip", "keyFields": ["client_ip"]},
            {"entityDefinitionId": id(3), "name": "user", "keyFields": ["client_ip", "request_query_user"],
                "onMissing": "group"},
        ],
        "mitigations": [
            {"mitigationId": id(10), "name": "watch", "mode": "monitor"},
            {"mitigationId": id(11), "name": "ask", "mode": "challenge",
                "challenge": {"level": "medium", "acceptWeak": false}},
            {"mitigationId": id(12), "name": "refuse", "mode": "block"},
            {"mitigationId": id(13), "name": "hold", "mode": "block", "durationSeconds": 600},
            {"mitigationId": id(14), "name": "watch-long", "mode": "monitor", "durationSeconds": 600},
        ],
        "policies": policies,
    });
    if let (Json::Object(document), Json::Object(others)) = (&mut document, others) {
        document.extend(others);
    }
    let set: PolicySet = serde_json::from_value(document).unwrap();
    compile(&set).unwrap()
}

/// A policy with a number, which is its priority too, and with further members.
fn policy(number: u32, mitigation: u32, others: Json) -> Json {
    let mut policy = json!({"policyId": id(number), "name": format!("p{number}"), "mitigationId": id(mitigation),
        "priority": number});
    if let (Json::Object(policy), Json::Object(others)) = (&mut policy, others) {
        policy.extend(others);
    }
    policy
}

/// A set, its state, and a clock.
struct Site {
    set: CompiledSet,
    state: State,
    pseudonyms: Pseudonyms,
    now_ms: i64,
}

impl Site {
    fn new(set: CompiledSet) -> Self {
        let pseudonyms = Pseudonyms::new(b"secret", "acme");
        Self { set, state: State::new(MIN_POLICY_MEMORY), pseudonyms, now_ms: NOW_MS }
    }

    /// Decides about an event of `decide` as JSON, which came by a door.
    fn at_door(&self, door: Door, event: &Json, outside: Outside<'_>) -> Decision<'_> {
        let text = event.to_string();
        let text = Text::new(text.as_bytes());
        let (json, _) = text.json().unwrap();
        let event = Event::of_decide(&json, Arrival::new(door, self.now_ms)).unwrap();
        decide(&self.set, &self.state, &self.pseudonyms, &event, outside)
    }

    fn decide(&self, event: &Json) -> Decision<'_> {
        self.at_door(Door::Decide, event, Outside::at(self.now_ms))
    }

    /// A request for a path by a client.
    fn request(&self, path: &str, client: &str) -> Decision<'_> {
        self.decide(&json!({"clientIp": client, "request": {"path": path}}))
    }
}

/// What matched, by name, and what came of it.
fn matched(decision: &Decision<'_>) -> Vec<(String, Outcome)> {
    let named = |found: &Match<'_>| (found.policy.name.to_string(), found.outcome);
    decision.matches.iter().map(named).collect()
}
