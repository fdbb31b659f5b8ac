//! `keyloft policy apply`: the set as a file declares it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::key::wait::WaitArgs;
use super::super::{ClientArgs, Failure, Outcome, input, output};
use super::{file, history};

/// What to apply, and how.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file that declares the set; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Remove what the file does not declare
    #[arg(long)]
    prune: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Why, for the list of versions
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Shows what would change, asks, and applies it.
pub(super) fn run(args: &ClientArgs, apply: &ApplyArgs) -> Outcome {
    let (written, set) = file::read(&apply.file)?;
    let tenant = args.tenant_of_file(written)?;
    let client = args.connect()?;
    let path = ["tenants", tenant.as_str(), "policyset", "apply"];
    let mut body = json!({ "policySet": set, "prune": apply.prune, "comment": apply.comment });
    let preview = client.post_with(&path, &[("dryRun", "true".to_owned())], &body)?;
    let plan = preview["plan"].as_array().map(Vec::as_slice);
    let plan = plan.ok_or_else(|| Failure::failed("the answer holds no plan: is this a Keyloft server?"))?;
    if apply.dry_run || plan.is_empty() {
        let people = if plan.is_empty() { "Nothing to do.".to_owned() } else { history::lines(plan) };
        return output::print(&if args.json { output::json(&preview) } else { people });
    }
    if !args.json {
        output::print(&history::lines(plan))?;
    }
    if !apply.yes && input::is_terminal() && !input::agrees("Apply this?")? {
        return Err(Failure::refused("nothing was changed"));
    }
    body["planTag"] = preview["planTag"].clone();
    let answer: Value = client.post_with(&path, &apply.wait.parameters(), &body)?;
    output::print(&match args.json {
        true => output::json(&answer),
        false => format!("Version {} is in force.", answer["policySetVersion"]),
    })?;
    apply.wait.report(args, &answer)
}
