//! `keyloft apply`: the keys of a tenant as a file declares them.
//!
//! 1. [`file`](mod@file): `keys.yaml`.
//! 2. `difference`: the plan, shown before it is carried out.
//! 3. `secrets`: new API keys, written to a file before their digests are sent.
//! 4. `run`: all of it, in order.

mod difference;
pub mod file;
mod run;
mod secrets;

use std::path::PathBuf;

use clap::Args;

pub(super) use run::run;

pub(super) const EXAMPLES: &str = "The file:
  version: 1
  tenant: acme                        # optional; must agree with --tenant
  permissionSets:
    writers: {streams: [web-*], limits: {requests: {perMinute: 6000}}}
  keys:
    - {name: checkout, type: ingestion, permissionSet: writers}
    - {name: dashboards, type: query, expiresAt: 2027-06-01T00:00:00Z}

What the file does not say of a key is the default; its secret, expiry and state
(active, disabled) stay as they are. Keys that are not in the file are left alone
unless --prune is given. A bad file changes nothing.

Examples:
  keyloft apply -f keys.yaml --dry-run
  keyloft apply -f keys.yaml --secrets new-keys.tsv
  keyloft apply -f keys.yaml --prune --yes";

/// What to apply, and how.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file that declares the keys; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Revoke the keys of the tenant that the file does not declare
    #[arg(long)]
    prune: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Add the API keys of issued keys to this file, a name, a tab and an API key a line, before they are issued; a
    /// line that stands there already is used again
    #[arg(long = "secrets", value_name = "FILE")]
    keep_in: Option<PathBuf>,
}
