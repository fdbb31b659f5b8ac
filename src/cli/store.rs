//! `keyloft store`: checks what a store guarantees.

use std::error::Error as StdError;

use clap::Subcommand;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::output::{self, Column};
use super::{Failure, Outcome};
use crate::error::{Error, ErrorKind};
use crate::store::{Bucket, Report, StoreUrl};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft store check --store s3://bucket/prefix
  keyloft store check --store ./keyloft-data --json";

/// The commands on a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Probe a store as a server does when it starts: about a hundred small requests, on objects that are removed again
    #[command(after_help = "S3 settings come from the usual AWS_* variables. Exit codes: 0 safe for several nodes, \
                            1 not safe, 2 usage, 4 the store does not answer.\n\n\
                            Example:\n  keyloft store check --store s3://bucket/prefix")]
    Check {
        /// The store: `s3://bucket/prefix`, `file:///path` or a plain path
        #[arg(long, env = "KEYLOFT_STORE", value_name = "URL or path")]
        store: StoreUrl,
    },
}

const COLUMNS: &[Column] = &[("PROPERTY", "property"), ("RESULT", "result"), ("DETAIL", "detail")];

/// Runs a command on a store.
pub(super) fn run(json: bool, command: StoreCommand) -> Outcome {
    let StoreCommand::Check { store } = command;
    let (bucket, runtime) = opened(&store)?;
    let report = runtime.block_on(bucket.probe()).map_err(|error| unanswered(&error))?;
    output::print(&shown(json, &store, &bucket, &report))?;
    match report.missing() {
        None => Ok(()),
        Some(missing) => Err(Failure::failed(format!("the store is not safe for several nodes: it fails {missing}"))),
    }
}

/// A store that is there, and what to use it with.
pub(super) fn opened(store: &StoreUrl) -> Result<(Bucket, Runtime), Failure> {
    if let StoreUrl::Directory(path) = store
        && !path.is_dir()
    {
        return Err(Failure::unavailable(format!("there is no directory {}", path.display())));
    }
    let bucket = store.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot set up the runtime: {error}")))?;
    Ok((bucket, runtime))
}

fn shown(json: bool, store: &StoreUrl, bucket: &Bucket, report: &Report) -> String {
    let row = |finding: &crate::store::Finding| {
        json!({
            "property": finding.property.as_str(),
            "result": finding.outcome.as_str(),
            "detail": finding.detail,
            "needed": finding.property.is_needed(),
        })
    };
    let rows: Vec<Value> = report.findings.iter().map(row).collect();
    let mode = bucket.mode().map_or("unknown", |mode| mode.as_str());
    if json {
        let safe = report.missing().is_none();
        return output::json(&json!({"store": store.to_string(), "mode": mode, "safe": safe, "properties": rows}));
    }
    format!("{}\n\nmode: {mode}", output::table(COLUMNS, &rows))
}

/// Includes the causes, so that an operator learns why the store does not answer.
pub(super) fn unanswered(error: &Error) -> Failure {
    let mut message = error.message().to_owned();
    let mut cause = StdError::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    match error.kind() {
        ErrorKind::Unavailable => Failure::unavailable(message),
        _ => Failure::failed(message),
    }
}
