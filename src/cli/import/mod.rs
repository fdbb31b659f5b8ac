//! `keyloft import`: the keys of other systems, imported with the secrets that their clients have.
//!
//! 1. [`parseable`], [`vmauth`], [`ditto`]: where keys come from.
//! 2. `parsed`: a key of another system.  `pattern`: names with `*`.
//! 3. `upload`: sending their digests to the server, and reporting the outcome for each.
//!
//! Only digests leave this process. A secret that is too short or too easy to guess is refused: its key needs a new
//! one.

pub mod ditto;
pub mod parseable;
mod parsed;
mod pattern;
mod upload;
pub mod vmauth;

use clap::Subcommand;

use super::{ClientArgs, Outcome};

pub(super) const EXAMPLES: &str =
    "Clients go on with the secrets they have. Importing twice changes nothing the second time. A
name that is taken gets a number: checkout (2).

Examples:
  keyloft import parseable --store s3://parseable-bucket --dry-run
  keyloft import vmauth auth.yml --ingestion-users 'agent-*'";

/// Where the keys come from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Read the API keys that Parseable keeps in its bucket: a file each, or in its metadata
    #[command(after_help = parseable::EXAMPLES)]
    Parseable(parseable::ParseableArgs),
    /// Read the tokens and passwords of a vmauth configuration; they become query keys unless said otherwise
    #[command(after_help = vmauth::EXAMPLES)]
    Vmauth(vmauth::VmauthArgs),
    /// Read the identities of a Ditto Edge Server, and their secrets from standard input
    #[command(after_help = ditto::EXAMPLES)]
    Ditto(ditto::DittoArgs),
}

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: ImportCommand) -> Outcome {
    match command {
        ImportCommand::Parseable(parseable) => parseable::run(args, &parseable),
        ImportCommand::Vmauth(vmauth) => vmauth::run(args, &vmauth),
        ImportCommand::Ditto(ditto) => ditto::run(args, &ditto),
    }
}
