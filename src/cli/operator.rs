//! `keyloft operator`: people who sign in.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::key::list::items;
use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::{ClientArgs, Failure, Outcome};
use crate::operators::OperatorId;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft operator id --issuer https://accounts.google.com --subject 110169484474386276334
  keyloft operator list
  keyloft operator disable op-5a12af06505d0ebbb95bca5441f5c29f --wait 5s";

/// The commands on operators.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// List all who have signed in
    #[command(after_help = "Example:\n  keyloft operator list")]
    List,
    /// Show somebody: roles and sign-ins
    #[command(after_help = "Example:\n  keyloft operator show op-5a12af06505d0ebbb95bca5441f5c29f")]
    Show {
        /// The id
        #[arg(value_name = "ID", value_parser = OperatorId::parse)]
        id: OperatorId,
    },
    /// End all sign-ins of somebody, and allow no more
    #[command(after_help = "Example:\n  keyloft operator disable op-5a12af06505d0ebbb95bca5441f5c29f --wait 5s")]
    Disable(DisableArgs),
    /// Let somebody in again who was disabled
    #[command(after_help = "Example:\n  keyloft operator enable op-5a12af06505d0ebbb95bca5441f5c29f")]
    Enable(ChangeArgs),
    /// End all sign-ins of somebody
    #[command(after_help = "Example:\n  keyloft operator end-sessions op-5a12af06505d0ebbb95bca5441f5c29f")]
    EndSessions(ChangeArgs),
    /// Print the id of an identity, without a server: a role can be given before the first sign-in
    #[command(after_help = "Example:\n  keyloft operator id --issuer https://github.com --subject 583231")]
    Id {
        /// The issuer, exactly as the provider states it
        #[arg(long)]
        issuer: String,
        /// The subject there: `sub`, or the number of a GitHub account; no e-mail address
        #[arg(long)]
        subject: String,
    },
}

/// Who is changed.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The id
    #[arg(value_name = "ID", value_parser = OperatorId::parse)]
    id: OperatorId,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Who is disabled.
#[derive(Debug, Args)]
pub struct DisableArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Also when a tenant is left without an owner who may sign in
    #[arg(long)]
    force: bool,
}

const OPERATORS: &[Column] = &[
    ("OPERATOR", "userId"),
    ("STATE", "state"),
    ("NAME", "displayName"),
    ("EMAIL", "email"),
    ("PROVIDER", "provider"),
    ("PLATFORM", "platformRole"),
    ("LAST SIGN-IN", "lastSignInAt"),
];

const CARD: &[Column] = &[
    ("Operator", "userId"),
    ("State", "state"),
    ("Name", "displayName"),
    ("E-mail", "email"),
    ("Provider", "provider"),
    ("Issuer", "issuer"),
    ("Subject", "subject"),
    ("Platform", "platformRole"),
    ("First sign-in", "createdAt"),
    ("Last sign-in", "lastSignInAt"),
];

const PLACES: &[Column] = &[("TENANT", "tenant"), ("ROLE", "role")];

const SESSIONS: &[Column] = &[
    ("SIGN-IN", "sid"),
    ("SINCE", "createdAt"),
    ("UNTIL", "expiresAt"),
    ("ADDRESS", "address"),
    ("PROGRAM", "userAgent"),
];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: OperatorCommand) -> Outcome {
    match command {
        OperatorCommand::Id { issuer, subject } => {
            args.refuse_for("operator id")?;
            let id = OperatorId::of(&issuer, &subject).map_err(|error| Failure::usage(error.to_string()))?;
            output::print(&if args.json { output::json(&json!({ "userId": id })) } else { id.to_string() })
        }
        OperatorCommand::List => {
            let page = args.connect()?.get(&["operators"], &[])?;
            output::print(&if args.json { output::json(&page) } else { output::table(OPERATORS, items(&page)) })
        }
        OperatorCommand::Show { id } => {
            let operator = args.connect()?.get(&["operators", &id.to_string()], &[])?;
            output::print(&if args.json { output::json(&operator) } else { card(&operator) })
        }
        OperatorCommand::Disable(DisableArgs { change: ChangeArgs { id, wait }, force }) => {
            let mut parameters = wait.parameters();
            parameters.extend(force.then(|| ("force", "true".to_owned())));
            let body = json!({"state": "disabled"});
            let answer = args.connect()?.patch(&["operators", &id.to_string()], &parameters, &body)?;
            report(args, &wait, &answer)
        }
        OperatorCommand::Enable(ChangeArgs { id, wait }) => {
            let body = json!({"state": "active"});
            let answer = args.connect()?.patch(&["operators", &id.to_string()], &wait.parameters(), &body)?;
            report(args, &wait, &answer)
        }
        OperatorCommand::EndSessions(ChangeArgs { id, wait }) => {
            let path = ["operators", &id.to_string(), "sessions"];
            let answer = args.connect()?.delete(&path, &wait.parameters())?;
            report(args, &wait, &answer)
        }
    }
}

fn report(args: &ClientArgs, wait: &WaitArgs, answer: &Value) -> Outcome {
    output::print(&if args.json { output::json(answer) } else { card(&answer["operator"]) })?;
    wait.report(args, answer)
}

fn card(operator: &Value) -> String {
    let mut text = output::card(CARD, operator);
    for (columns, field) in [(PLACES, "memberships"), (SESSIONS, "sessions")] {
        if let Some(rows) = operator[field].as_array().filter(|rows| !rows.is_empty()) {
            text.push_str("\n\n");
            text.push_str(&output::table(columns, rows));
        }
    }
    text
}
