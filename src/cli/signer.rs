//! `keyloft signer`: the keys that sign for people who sign in.

use clap::{Args, Subcommand};

use super::key::list::items;
use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::{ClientArgs, Outcome};
use crate::key::SignerId;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft signer list
  keyloft signer drop sig-5a12af06505d0ebbb95bca5441f5c29f --wait 5s";

/// The commands on signers.
#[derive(Debug, Subcommand)]
pub enum SignerCommand {
    /// List the keys that sign, or have signed what may still hold
    #[command(after_help = "Example:\n  keyloft signer list")]
    List,
    /// Drop a key: no token that it has signed holds any more
    #[command(after_help = "Example:\n  keyloft signer drop sig-5a12af06505d0ebbb95bca5441f5c29f")]
    Drop(DropArgs),
}

/// Which key.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// Its id
    #[arg(value_name = "ID", value_parser = SignerId::parse)]
    kid: SignerId,
    #[command(flatten)]
    wait: WaitArgs,
}

const SIGNERS: &[Column] = &[
    ("SIGNER", "kid"),
    ("NODE", "nodeId"),
    ("CREATED", "createdAt"),
    ("SIGNS UNTIL", "signsUntil"),
    ("EXPIRES", "expiresAt"),
];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: SignerCommand) -> Outcome {
    match command {
        SignerCommand::List => {
            let page = args.connect()?.get(&["signers"], &[])?;
            output::print(&if args.json { output::json(&page) } else { output::table(SIGNERS, items(&page)) })
        }
        SignerCommand::Drop(DropArgs { kid, wait }) => {
            let answer = args.connect()?.delete(&["signers", &kid.to_string()], &wait.parameters())?;
            output::print(&if args.json { output::json(&answer) } else { format!("{kid} is dropped.") })?;
            wait.report(args, &answer)
        }
    }
}
