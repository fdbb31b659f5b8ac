//! `keyloft audit`: proof of what happened.

use clap::Subcommand;
use serde_json::json;

use super::output::{self, Column};
use super::store::{opened, unanswered};
use super::{Failure, Outcome};
use crate::audit::{Verification, verify};
use crate::store::StoreUrl;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft audit verify --store s3://bucket/prefix
  keyloft audit verify --store ./keyloft-data --json";

/// The commands on the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no entry of the change log was changed, removed or swapped: each names the one before it
    #[command(after_help = "Reads the store itself, one request for each entry of the log. S3 settings come from the \
                            usual AWS_* variables. Exit codes: 0 it holds, 1 it does not, 2 usage, 4 the store does \
                            not answer.\n\n\
                            Example:\n  keyloft audit verify --store s3://bucket/prefix")]
    Verify {
        /// The store: `s3://bucket/prefix`, `file:///path` or a plain path
        #[arg(long, env = "KEYLOFT_STORE", value_name = "URL or path")]
        store: StoreUrl,
    },
}

const COLUMNS: &[Column] = &[("ENTRY", "seq"), ("WHAT IS WRONG", "reason")];

/// Runs a command on the audit.
pub(super) fn run(json: bool, command: AuditCommand) -> Outcome {
    let AuditCommand::Verify { store } = command;
    let (bucket, runtime) = opened(&store)?;
    let found = runtime.block_on(verify(&bucket)).map_err(|error| unanswered(&error))?;
    if found.entries == 0 {
        return Err(Failure::failed("there is no entry: either nothing was ever changed there, or the log is gone"));
    }
    output::print(&if json { output::json(&shown(&found)) } else { told(&found) })?;
    match found.findings.first() {
        None => Ok(()),
        Some(first) => Err(Failure::failed(format!("the change log is not what was written: see entry {}", first.seq))),
    }
}

fn shown(found: &Verification) -> serde_json::Value {
    let mut shown = json!(found);
    shown["holds"] = found.holds().into();
    shown
}

fn told(found: &Verification) -> String {
    let Verification { first, last, entries, unchained, strays, .. } = found;
    let strays = strays.len();
    let before = if *first > 1 { ", what came before was removed" } else { "" };
    let head = found.head.map_or_else(|| "-".to_owned(), |head| head.to_string());
    let summary = format!(
        "entries    {entries}, from {first} to {last}{before}\nunchained  {unchained}\nstrays     {strays}\nhead       {head}\nholds      {}",
        if found.holds() { "yes" } else { "no" }
    );
    if found.holds() { summary } else { format!("{}\n\n{summary}", output::table(COLUMNS, &rows(found))) }
}

fn rows(found: &Verification) -> Vec<serde_json::Value> {
    found.findings.iter().map(|finding| json!(finding)).collect()
}
