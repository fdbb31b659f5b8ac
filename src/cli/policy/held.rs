//! `keyloft policy held` and `release`: active mitigations.

use clap::Args;
use serde_json::Value;

use super::super::key::wait::WaitArgs;
use super::super::output::{self, Column};
use super::super::{ClientArgs, Outcome};

/// Whom to show.
#[derive(Debug, Args)]
pub struct HeldArgs {
    /// One entity, as decisions name it [default: all]
    #[arg(value_name = "ENTITY")]
    entity: Option<String>,
}

/// Whom to let go.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The entity, as decisions name it
    #[arg(value_name = "ENTITY")]
    entity: String,
    /// Only by the policy with this id [default: by all]
    #[arg(long, value_name = "ID")]
    policy: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

const COLUMNS: &[Column] = &[
    ("ENTITY", "entity"),
    ("POLICY", "policyName"),
    ("MODE", "mode"),
    ("SINCE", "since"),
    ("UNTIL", "until"),
    ("VERSION", "policySetVersion"),
];

/// Lists who is held.
pub(super) fn held(args: &ClientArgs, asked: &HeldArgs) -> Outcome {
    let (client, tenant) = (args.connect()?, args.tenant());
    let path = ["tenants", tenant.as_str(), "mitigations", "active"];
    if let Some(entity) = &asked.entity {
        let answer = client.get(&[&path[..], &[entity]].concat(), &[])?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        return output::print(&if args.json { output::json(&answer) } else { output::table(COLUMNS, &items) });
    }
    let (mut items, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut parameters = vec![("limit", "1000".to_owned())];
        parameters.extend(cursor.map(|cursor| ("cursor", cursor)));
        let mut page = client.get(&path, &parameters)?;
        items.append(page["items"].as_array_mut().unwrap_or(&mut Vec::new()));
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    output::print(&match (args.json, items.is_empty()) {
        (true, _) => output::json(&serde_json::json!({ "items": items })),
        (_, true) => "Nobody is held.".to_owned(),
        _ => output::table(COLUMNS, &items),
    })
}

/// Lets somebody go.
pub(super) fn release(args: &ClientArgs, asked: ReleaseArgs) -> Outcome {
    let tenant = args.tenant();
    let path = ["tenants", tenant.as_str(), "mitigations", "active", &asked.entity];
    let mut parameters = asked.wait.parameters();
    parameters.extend(asked.policy.map(|policy| ("policyId", policy)));
    let answer = args.connect()?.delete(&path, &parameters)?;
    let released = answer["released"].as_array().map_or(0, Vec::len);
    output::print(&match args.json {
        true => output::json(&answer),
        false if released == 0 => format!("{} is not held here, and is released everywhere.", asked.entity),
        false => format!("{} is released.", asked.entity),
    })?;
    asked.wait.report(args, &answer)
}
