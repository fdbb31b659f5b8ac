//! `keyloft policy explain`, and `keyloft decide`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::output;
use super::super::terminal::escaped;
use super::super::{ClientArgs, Failure, Outcome, yaml};
use super::file;

/// What to explain.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The event, as decide takes it; - is standard input
    #[arg(value_name = "EVENT.json")]
    event: PathBuf,
    /// A draft of the set [default: the one in force]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Explains a decision.
pub(super) fn run(args: &ClientArgs, explain: &ExplainArgs) -> Outcome {
    let mut body = json!({ "event": event(&explain.event)? });
    if let Some(draft) = &explain.file {
        body["policySet"] = json!(file::read(draft)?.1);
    }
    let tenant = args.tenant();
    let answer = args.connect()?.post(&["tenants", tenant.as_str(), "policyset", "explain"], &body)?;
    output::print(&if args.json { output::json(&answer) } else { people(&answer) })
}

/// An event in a file.
pub(in crate::cli) fn event(path: &std::path::Path) -> Outcome<Value> {
    let text = yaml::text(path)?;
    let wrong = |error: serde_json::Error| {
        Failure::usage(format!("{} is not JSON: line {}, column {}", path.display(), error.line(), error.column()))
    };
    serde_json::from_str(&text).map_err(wrong)
}

fn people(answer: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = vec![format!("{} ({})", word(&answer["action"]), word(&answer["reason"]))];
    let steps = |lines: &mut Vec<String>, indent: &str, expression: &Value| {
        for step in expression["steps"].as_array().into_iter().flatten() {
            let depth = usize::try_from(step["depth"].as_u64().unwrap_or_default()).unwrap_or_default();
            let fields = step["fields"].as_array().into_iter().flatten();
            let seen: Vec<String> =
                fields.map(|field| format!("{} = {}", word(&field["name"]), field["value"])).collect();
            let seen = if seen.is_empty() { String::new() } else { format!("   [{}]", seen.join(", ")) };
            let truth = if step["truth"] == true { "true " } else { "false" };
            lines.push(format!("{indent}{}{truth} {}{seen}", "  ".repeat(depth), word(&step["expression"])));
        }
    };
    for action in answer["actions"].as_array().into_iter().flatten() {
        lines.push(format!("action {}: {}", word(&action["name"]), action["expression"]["truth"]));
        steps(&mut lines, "  ", &action["expression"]);
    }
    for policy in answer["policies"].as_array().into_iter().flatten() {
        lines.push(format!("policy {}: {}", word(&policy["name"]), word(&policy["outcome"])));
        steps(&mut lines, "  ", &policy["expression"]);
        if let Some(counted) = policy["window"]["counted"].as_object() {
            let (count, threshold) = (&counted["count"], &counted["threshold"]);
            lines.push(format!("  {count} of {threshold} in {} s, {}", counted["seconds"], word(&policy["entity"])));
        }
    }
    lines.iter().map(|line| escaped(line).into_owned()).collect::<Vec<_>>().join("\n")
}
