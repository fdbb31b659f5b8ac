//! What is wrong with the values of a set, apart from its expressions. All faults are found, in the order of the
//! document.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::ops::RangeInclusive;

use super::document::{PolicySet, Traffic, TrafficFormat};
use super::limits::{
    MAX_ACTIONS, MAX_ACTIONS_OF_A_POLICY, MAX_DISTINCT, MAX_DOCUMENT_BYTES, MAX_ENTITIES, MAX_HOLD_SECONDS,
    MAX_KEY_FIELDS, MAX_MAPPED_FIELDS, MAX_MAPPED_NAME_CHARS, MAX_MITIGATIONS, MAX_NAME_CHARS, MAX_POLICIES,
    MAX_PRIORITY, MAX_THRESHOLD, MAX_TRAFFIC_STREAMS, MAX_WINDOW_SECONDS,
};
use super::parts::{EntityDefinition, Mitigation, Policy, Window};
use crate::policy::Fault;
use crate::policy::event::Names;

/// What is wrong with the values of a set.
pub(super) fn check(set: &PolicySet) -> Vec<Fault> {
    let mut check = Check { faults: Vec::new() };
    check.traffic(&set.traffic);
    check.parts("actions", MAX_ACTIONS, set.actions.iter().map(|part| (&*part.name, part.action_id)));
    check.parts("entities", MAX_ENTITIES, set.entities.iter().map(|part| (&*part.name, part.entity_definition_id)));
    check.parts("mitigations", MAX_MITIGATIONS, set.mitigations.iter().map(|part| (&*part.name, part.mitigation_id)));
    check.parts("policies", MAX_POLICIES, set.policies.iter().map(|part| (&*part.name, part.policy_id)));
    set.entities.iter().enumerate().for_each(|(at, part)| check.entity(at, part));
    set.mitigations.iter().enumerate().for_each(|(at, part)| check.mitigation(at, part));
    set.policies.iter().enumerate().for_each(|(at, part)| check.policy(at, part));
    if serde_json::to_vec(set).map_or(usize::MAX, |text| text.len()) > MAX_DOCUMENT_BYTES {
        check.fault("", format!("the set has more than {} MiB", MAX_DOCUMENT_BYTES >> 20));
    }
    check.faults
}

struct Check {
    faults: Vec<Fault>,
}

impl Check {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(path, message));
    }

    fn at_most(&mut self, path: impl Into<String>, count: usize, most: usize) {
        if count > most {
            self.fault(path, format!("there are {count}, and at most {most}"));
        }
    }

    fn within(&mut self, path: impl Into<String>, value: u32, range: RangeInclusive<u32>) {
        if !range.contains(&value) {
            self.fault(path, format!("this must be from {} to {}", range.start(), range.end()));
        }
    }

    /// Names and ids of the parts of a kind.
    fn parts<'a, Id: Copy + Eq + Hash + Display>(
        &mut self,
        kind: &str,
        most: usize,
        parts: impl ExactSizeIterator<Item = (&'a str, Option<Id>)>,
    ) {
        self.at_most(kind, parts.len(), most);
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for (at, (name, id)) in parts.enumerate() {
            if !is_name(name) {
                let message =
                    format!("a name must be 1-{MAX_NAME_CHARS} of a-z, 0-9, _ and -, starting with a letter or digit");
                self.fault(format!("{kind}[{at}].name"), message);
            } else if !names.insert(name) {
                self.fault(format!("{kind}[{at}].name"), format!("another one is called {name}, too"));
            }
            if let Some(id) = id.filter(|id| !ids.insert(*id)) {
                self.fault(format!("{kind}[{at}]"), format!("another one has the id {id}, too"));
            }
        }
    }

    fn traffic(&mut self, traffic: &Traffic) {
        self.at_most("traffic.streams", traffic.streams.len(), MAX_TRAFFIC_STREAMS);
        for (at, stream) in traffic.streams.iter().enumerate() {
            let name = stream.strip_suffix('*').unwrap_or(stream);
            if stream != "*" && !is_name(name) {
                let message = "this must be the name of a stream, or the beginning of one and *";
                self.fault(format!("traffic.streams[{at}]"), message);
            }
        }
        self.at_most("traffic.map", traffic.map.len(), MAX_MAPPED_FIELDS);
        for (ours, theirs) in &traffic.map {
            if theirs.is_empty() || theirs.chars().count() > MAX_MAPPED_NAME_CHARS {
                let message = format!("their name must have 1-{MAX_MAPPED_NAME_CHARS} characters");
                self.fault(format!("traffic.map.{}", shortened(ours)), message);
            }
        }
        for wrong in Names::of_map(&traffic.map).err().into_iter().flatten() {
            let message = "this is no field that a sender can state";
            self.fault(format!("traffic.map.{}", shortened(&wrong)), message);
        }
        if traffic.format == TrafficFormat::Map && traffic.map.is_empty() {
            self.fault("traffic.map", "the format map needs names");
        }
    }

    fn entity(&mut self, at: usize, entity: &EntityDefinition) {
        let path = format!("entities[{at}].keyFields");
        let count = entity.key_fields.len();
        if count == 0 {
            self.fault(path, "an entity needs a field whose values tell one client from another");
            return;
        }
        self.at_most(&*path, count, MAX_KEY_FIELDS);
        let mut seen = HashSet::new();
        for (index, field) in entity.key_fields.iter().enumerate() {
            if !seen.insert(field) {
                self.fault(format!("{path}[{index}]"), "this field is there already");
            }
        }
    }

    fn mitigation(&mut self, at: usize, mitigation: &Mitigation) {
        if let Some(seconds) = mitigation.duration_seconds {
            self.within(format!("mitigations[{at}].durationSeconds"), seconds, 1..=MAX_HOLD_SECONDS);
        }
        if let Some(challenge) = &mitigation.challenge {
            let path = format!("mitigations[{at}].challenge.ttlSeconds");
            self.within(path, challenge.ttl_seconds, 1..=MAX_HOLD_SECONDS);
        }
    }

    fn policy(&mut self, at: usize, policy: &Policy) {
        let path = format!("policies[{at}]");
        self.within(format!("{path}.priority"), policy.priority, 0..=MAX_PRIORITY);
        self.at_most(format!("{path}.actionIds"), policy.action_ids.len(), MAX_ACTIONS_OF_A_POLICY);
        if let Some(window) = &policy.window {
            self.window(&path, window);
            if policy.entity_definition_id.is_none() {
                self.faults.push(
                    Fault::new(format!("{path}.window"), "a window counts the events of an entity, and there is none")
                        .hint("name an entity"),
                );
            }
        }
    }

    fn window(&mut self, path: &str, window: &Window) {
        self.within(format!("{path}.window.seconds"), window.seconds, 1..=MAX_WINDOW_SECONDS);
        let most = if window.distinct.is_some() { MAX_DISTINCT } else { MAX_THRESHOLD };
        self.within(format!("{path}.window.threshold"), window.threshold, 1..=most);
    }
}

fn is_name(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= MAX_NAME_CHARS
        && name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|byte| is_first(byte) || matches!(byte, b'_' | b'-'))
}

fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
}
