//! What is different between two sets, part by part.

use std::collections::BTreeSet;

use chrono::DateTime;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::documents::{Audited, Fields};
use crate::key::Digest;
use crate::policy::set::{PolicySet, PolicySetDocument};

/// What is different about one part.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// `create`, `update` or `delete`.
    pub action: &'static str,
    /// `actions`, `entities`, `mitigations`, `policies`, or a member of the set itself.
    pub kind: String,
    /// What the part is called; none of a member of the set itself.
    pub name: Option<String>,
    /// The members that are different, from what and to what; none of a part that is new or gone.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub changes: Map<String, Value>,
}

/// What makes one set out of another.
pub fn plan(old: &PolicySet, new: &PolicySet) -> Vec<PlannedStep> {
    let (old, mut new) = (fields(old), fields(new));
    let mut steps = Vec::new();
    for (member, from) in &old {
        let to = new.remove(member);
        if to.as_ref() != Some(from) {
            steps.push(step(member, Some(from), to.as_ref()));
        }
    }
    steps.extend(new.iter().map(|(member, to)| step(member, None, Some(to))));
    steps
}

/// What a client sends back to say that it agrees to a plan. Ids that are made anew for each plan do not count: a part
/// that is created has no changes.
pub fn tag(plan: &[PlannedStep]) -> String {
    Digest::of(serde_json::to_vec(plan).unwrap_or_default()).hex()[..32].to_owned()
}

fn step(member: &str, from: Option<&Value>, to: Option<&Value>) -> PlannedStep {
    let (kind, name) = match member.split_once('/') {
        Some((kind, name)) => (kind, Some(name.to_owned())),
        None => (member, None),
    };
    let action = match (from, to) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "update",
    };
    let changes = from.zip(to).map(|(from, to)| changes(from, to)).unwrap_or_default();
    PlannedStep { action, kind: kind.to_owned(), name, changes }
}

/// Each part under its name, without what differs between versions.
fn fields(set: &PolicySet) -> Fields {
    let document = PolicySetDocument::new(set.clone(), 0, DateTime::UNIX_EPOCH, String::new());
    let mut fields = document.audited();
    for member in ["policySetVersion", "comment", "restores"] {
        fields.remove(member);
    }
    fields
}

/// The members of a part that are different, or the whole where it has no members.
fn changes(from: &Value, to: &Value) -> Map<String, Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return Map::from_iter([("value".to_owned(), json!({"from": from, "to": to}))]);
    };
    let members: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let differ = members.into_iter().filter(|member| from.get(*member) != to.get(*member));
    differ.map(|member| (member.clone(), json!({"from": from.get(member), "to": to.get(member)}))).collect()
}
