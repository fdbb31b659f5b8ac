//! `keyloft operator`: people who sign in.

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Outcome, output};
use crate::operators::OperatorId;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft operator id --issuer https://accounts.google.com --subject 110169484474386276334";

/// The commands on operators.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Print the id of an identity, without a server: a role can be given before the first sign-in
    #[command(after_help = EXAMPLES)]
    Id {
        /// The issuer, exactly as the provider states it
        #[arg(long)]
        issuer: String,
        /// The subject there: `sub`, or the number of a GitHub account; no e-mail address
        #[arg(long)]
        subject: String,
    },
}

/// Runs one of them.
pub(super) fn run(json: bool, command: OperatorCommand) -> Outcome {
    let OperatorCommand::Id { issuer, subject } = command;
    let id = OperatorId::of(&issuer, &subject).map_err(|error| Failure::usage(error.to_string()))?;
    output::print(&if json { output::json(&json!({ "userId": id })) } else { id.to_string() })
}
