//! `keyloft audit`: what happened, and proof of it.

use clap::Subcommand;
use serde_json::json;

use super::super::output::{self, Column};
use super::super::store::{opened, unanswered};
use super::super::{ClientArgs, Failure, Outcome};
use super::records::{self, ListArgs, RecordArgs, TailArgs};
use crate::audit::{Verification, verify};
use crate::store::StoreUrl;

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  keyloft audit list --from 7d --action key
  keyloft audit list --tenant acme --actor admin_token --limit 20
  keyloft audit tail --platform --json
  keyloft audit export --from 2026-11-01 --to 2026-12-01 > november.ndjson
  keyloft audit verify --store s3://bucket/prefix
  keyloft audit verify --store ./keyloft-data --json";

/// The commands on the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List what happened in a tenant, or on the whole platform, the newest first
    #[command(after_help = "Examples:\n  keyloft audit list --target checkout\n  \
                            keyloft audit list --platform --action tenant --from 30d")]
    List(ListArgs),
    /// Print the last records, and then each one as it comes, until interrupted
    #[command(after_help = "Example:\n  keyloft audit tail --tenant acme")]
    Tail(TailArgs),
    /// Print all records as JSON, one a line, the newest first
    #[command(after_help = "Example:\n  keyloft audit export --from 2026-11-01 > since-november.ndjson")]
    Export(RecordArgs),
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
pub(in crate::cli) fn run(args: &ClientArgs, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::List(list) => records::list(args, &list),
        AuditCommand::Tail(tail) => records::tail(args, &tail),
        AuditCommand::Export(export) => records::export(args, &export),
        AuditCommand::Verify { store } => {
            args.refuse_for("audit verify")?;
            verify_store(args.json, &store)
        }
    }
}

fn verify_store(json: bool, store: &StoreUrl) -> Outcome {
    let (bucket, runtime) = opened(store)?;
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
