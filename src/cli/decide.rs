//! `keyloft decide`: asks for a decision as a system does, with an API key.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::output;
use super::policy::explain::event;
use super::{ClientArgs, Failure, Outcome};

const API_KEY: &str = "KEYLOFT_API_KEY";

pub(super) const EXAMPLES: &str = "Examples:
  KEYLOFT_API_KEY=kl_ing_… keyloft decide event.json
  keyloft decide - --observe < event.json

The API key is read from KEYLOFT_API_KEY.";

/// What to ask.
#[derive(Debug, Args)]
pub struct DecideArgs {
    /// The event, or {"events": [...]}; - is standard input
    #[arg(value_name = "EVENT.json")]
    event: PathBuf,
    /// Only count: it happened already
    #[arg(long)]
    observe: bool,
}

/// Asks.
pub(super) fn run(args: &ClientArgs, asked: &DecideArgs) -> Outcome {
    if args.stated_tenant().is_some() {
        return Err(Failure::usage("the tenant is that of the API key"));
    }
    let key = std::env::var(API_KEY).map(Zeroizing::new);
    let key = key.map_err(|_| Failure::usage(format!("no API key: set {API_KEY}")))?;
    let parameters = if asked.observe { vec![("observe", "true".to_owned())] } else { Vec::new() };
    let answer = args.connect_without_token()?.post_as(&key, &["decide"], &parameters, &event(&asked.event)?)?;
    output::print(&match (args.json, answer["action"].as_str()) {
        (false, Some(action)) => people(action, &answer),
        _ => output::json(&answer),
    })
}

fn people(action: &str, answer: &Value) -> String {
    let reason = answer["reason"].as_str().unwrap_or("none");
    match answer["policy"]["name"].as_str() {
        Some(policy) => format!("{action}: {policy} ({reason})"),
        None => format!("{action} ({reason})"),
    }
}
