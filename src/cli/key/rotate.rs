//! `keyloft key rotate`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::super::when::seconds;
use super::super::{ClientArgs, Outcome, output};
use super::create::{self, StdinArgs};
use super::show::KeyRef;
use super::wait::WaitArgs;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key rotate checkout
  keyloft key rotate checkout --overlap 7d
  keyloft key rotate checkout --overlap 0s --wait 5s";

/// Which key, and for how long its old secret works beside the new one.
#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    key: KeyRef,
    /// How long the old API key keeps working, such as 1h or 7d, at most 365d; 0s ends it at once [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    overlap: Option<Duration>,
    #[command(flatten)]
    stdin: StdinArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) fn run(args: &ClientArgs, rotate: &RotateArgs) -> Outcome {
    let mut body = json!({});
    if let Some(overlap) = rotate.overlap {
        body["overlapSeconds"] = json!(overlap.as_secs());
    }
    rotate.stdin.require_output()?;
    let client = args.connect()?;
    let (tenant, id) = (args.tenant(), rotate.key.id(args, &client)?.to_string());
    let path = ["tenants", tenant.as_str(), "apikeys", &id, "rotate"];
    let parameters = rotate.wait.parameters();
    let answer = rotate.stdin.send(body, |body| client.post_with(&path, &parameters, body))?;
    create::show(args, &answer, &rotate.stdin, |id| {
        format!("key {id} was rotated, but its new API key is lost: rotate it again")
    })?;
    match rotate.wait.judge(&answer)? {
        Some(applied) if !args.json => output::print(&applied),
        _ => Ok(()),
    }
}
