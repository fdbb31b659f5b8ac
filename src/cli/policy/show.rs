//! `keyloft policy list` and `show`.

use clap::Args;
use serde_json::{Value, json};

use super::super::output::{self, Column};
use super::super::{ClientArgs, Outcome};
use super::history::version;
use crate::policy::set::NamedPolicySet;

/// Which version.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The version [default: the one in force]
    #[arg(value_name = "VERSION")]
    version: Option<u64>,
}

const POLICIES: &[Column] = &[
    ("POLICY", "name"),
    ("ENABLED", "enabled"),
    ("PRIORITY", "priority"),
    ("ACTIONS", "actions"),
    ("ENTITY", "entity"),
    ("MITIGATION", "mitigation"),
    ("WINDOW", "window"),
    ("EXPRESSION", "expression"),
];
const ACTIONS: &[Column] = &[("ACTION", "name"), ("ENABLED", "enabled"), ("EXPRESSION", "expression")];
const ENTITIES: &[Column] =
    &[("ENTITY", "name"), ("FIELDS", "keyFields"), ("MATCHES", "matchExpression"), ("MISSING", "onMissing")];
const MITIGATIONS: &[Column] = &[("MITIGATION", "name"), ("MODE", "mode"), ("SECONDS", "durationSeconds")];

/// Lists the policies in force.
pub(super) fn list(args: &ClientArgs) -> Outcome {
    let (_, set) = version(&args.connect()?, args.tenant().as_str(), None)?;
    let items = rows(&json!(NamedPolicySet::of(&set))["policies"]);
    output::print(&match (args.json, items.is_empty()) {
        (true, _) => output::json(&json!({ "items": items })),
        (_, true) => "No policy yet: see keyloft policy apply.".to_owned(),
        _ => output::table(POLICIES, &shown(items)),
    })
}

/// Shows a set.
pub(super) fn run(args: &ClientArgs, asked: &ShowArgs) -> Outcome {
    let (number, set) = version(&args.connect()?, args.tenant().as_str(), asked.version)?;
    let mut named = json!(NamedPolicySet::of(&set));
    if args.json {
        named["policySetVersion"] = json!(number);
        return output::print(&output::json(&named));
    }
    let exempt = set.exempt.as_deref().unwrap_or("nobody");
    let mut parts = vec![format!("Version {number}, mode {}, exempt: {exempt}", named["mode"].as_str().unwrap_or("-"))];
    for (columns, kind) in
        [(POLICIES, "policies"), (ACTIONS, "actions"), (ENTITIES, "entities"), (MITIGATIONS, "mitigations")]
    {
        let items = shown(rows(&named[kind]));
        if !items.is_empty() {
            parts.push(output::table(columns, &items));
        }
    }
    output::print(&parts.join("\n\n"))
}

fn rows(items: &Value) -> Vec<Value> {
    items.as_array().cloned().unwrap_or_default()
}

/// With windows as people say them.
fn shown(items: Vec<Value>) -> Vec<Value> {
    let with_window = |mut item: Value| {
        if let Some(window) = item["window"].as_object() {
            let text = format!("{} in {} s", window["threshold"], window["seconds"]);
            item["window"] = json!(text);
        }
        item
    };
    items.into_iter().map(with_window).collect()
}
