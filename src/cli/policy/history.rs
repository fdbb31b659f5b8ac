//! `keyloft policy versions`, `diff` and `rollback`.

use clap::Args;
use serde_json::{Value, json};

use super::super::key::wait::WaitArgs;
use super::super::output::{self, Column};
use super::super::terminal::escaped;
use super::super::{Client, ClientArgs, Failure, Outcome};
use crate::policy::set::PolicySet;
use crate::policy_book::plan::plan;

/// How many versions.
#[derive(Debug, Args)]
pub struct VersionsArgs {
    /// How many, at most 200
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
}

/// Which two versions.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier version [default: the one before the version in force]
    #[arg(value_name = "FROM")]
    from: Option<u64>,
    /// The later version [default: the version in force]
    #[arg(value_name = "TO")]
    to: Option<u64>,
}

/// Which version to go back to.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The version
    #[arg(value_name = "VERSION")]
    version: u64,
    /// Why, for the list of versions
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

const COLUMNS: &[Column] = &[
    ("VERSION", "policySetVersion"),
    ("CREATED", "createdAt"),
    ("BY", "createdBy"),
    ("RESTORES", "restores"),
    ("IN FORCE", "inForce"),
    ("COMMENT", "comment"),
];

/// Lists versions.
pub(super) fn versions(args: &ClientArgs, asked: &VersionsArgs) -> Outcome {
    let path = ["tenants", args.tenant().as_str(), "policyset", "versions"].map(str::to_owned);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let answer = args.connect()?.get(&path, &[("limit", asked.limit.to_string())])?;
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    output::print(&match (args.json, items.is_empty()) {
        (true, _) => output::json(&answer),
        (_, true) => "No version yet: see keyloft policy apply.".to_owned(),
        _ => output::table(COLUMNS, &items),
    })
}

/// Shows what is different between two versions.
pub(super) fn diff(args: &ClientArgs, asked: &DiffArgs) -> Outcome {
    let client = args.connect()?;
    let tenant = args.tenant();
    let (to_number, to) = match asked.to {
        Some(number) => (number, version(&client, tenant.as_str(), Some(number))?.1),
        None => version(&client, tenant.as_str(), None)?,
    };
    let from_number = asked.from.unwrap_or_else(|| to_number.saturating_sub(1));
    let from = match from_number {
        0 => PolicySet::default(),
        number => version(&client, tenant.as_str(), Some(number))?.1,
    };
    let steps = json!(plan(&from, &to));
    let steps = steps.as_array().map(Vec::as_slice).unwrap_or_default();
    output::print(&match args.json {
        true => output::json(&json!({"from": from_number, "to": to_number, "changes": steps})),
        false if steps.is_empty() => format!("Versions {from_number} and {to_number} are the same."),
        false => lines(steps),
    })
}

/// Goes back to a version.
pub(super) fn roll_back(args: &ClientArgs, asked: RollbackArgs) -> Outcome {
    let tenant = args.tenant();
    let path = ["tenants", tenant.as_str(), "policyset", "rollback"];
    let body = json!({ "to": asked.version, "comment": asked.comment });
    let answer = args.connect()?.post_with(&path, &asked.wait.parameters(), &body)?;
    output::print(&match args.json {
        true => output::json(&answer),
        false => format!("Version {} is in force: version {} again.", answer["policySetVersion"], asked.version),
    })?;
    asked.wait.report(args, &answer)
}

/// A version, and its number; the one in force without a number.
pub(super) fn version(client: &Client, tenant: &str, number: Option<u64>) -> Outcome<(u64, PolicySet)> {
    let text = number.map(|number| number.to_string());
    let path = match &text {
        Some(number) => vec!["tenants", tenant, "policyset", "versions", number.as_str()],
        None => vec!["tenants", tenant, "policyset"],
    };
    let mut answer = client.get(&path, &[])?;
    let number = answer["policySetVersion"].as_u64().unwrap_or_default();
    if let Some(members) = answer.as_object_mut() {
        for member in ["policySetVersion", "createdAt", "createdBy", "comment", "restores"] {
            members.remove(member);
        }
    }
    let set = serde_json::from_value(answer);
    Ok((number, set.map_err(|error| Failure::failed(format!("the answer is no policy set: {error}")))?))
}

/// A line for each step: `+` what is new, `-` what goes, `~` what changes, and from what to what.
pub(super) fn lines(plan: &[Value]) -> String {
    let line = |step: &Value| {
        let sign = match step["action"].as_str() {
            Some("create") => "+",
            Some("delete") => "-",
            _ => "~",
        };
        let kind = step["kind"].as_str().unwrap_or_default();
        let name = step["name"].as_str().map_or_else(String::new, |name| format!(" {name}"));
        let mut text = format!("{sign} {kind}{name}");
        for (member, change) in step["changes"].as_object().into_iter().flatten() {
            text.push_str(&format!("\n    {member}: {} -> {}", change["from"], change["to"]));
        }
        text.lines().map(|line| escaped(line).into_owned()).collect::<Vec<_>>().join("\n")
    };
    plan.iter().map(line).collect::<Vec<_>>().join("\n")
}
