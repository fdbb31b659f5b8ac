//! `keyloft membership`: who has which role in a tenant, or on the platform.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::Parameter;
use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::place::{PlaceArgs, borrowed};
use super::{ClientArgs, Failure, Outcome, key};
use crate::operators::{Email, OperatorId, Role};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft membership set --tenant acme --email owner@example.com --role owner
  keyloft membership set --user-id op-5a12af06505d0ebbb95bca5441f5c29f --role viewer
  keyloft membership list --tenant acme
  keyloft membership remove --tenant acme --email owner@example.com";

/// The commands on memberships.
#[derive(Debug, Subcommand)]
pub enum MembershipCommand {
    /// List the members of a tenant, or of the platform, and the open invitations
    #[command(after_help = "Examples:\n  keyloft membership list\n  keyloft membership list --platform")]
    List(PlaceArgs),
    /// Give somebody a role, in place of the one that they have, or invite an address
    #[command(after_help = "Example:\n  keyloft membership set --tenant acme --email ada@example.com --role analyst")]
    Set(SetArgs),
    /// Remove a member, or the invitation of an address
    #[command(after_help = "Example:\n  keyloft membership remove --tenant acme --email ada@example.com")]
    Remove(RemoveArgs),
}

/// Who is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhoArgs {
    /// The id of an operator, as `keyloft operator id` prints it
    #[arg(long, value_name = "ID", value_parser = OperatorId::parse)]
    user_id: Option<OperatorId>,
    /// The person who signs in with this e-mail address
    #[arg(long, value_parser = Email::parse)]
    email: Option<Email>,
}

/// A role for somebody.
#[derive(Debug, Args)]
pub struct SetArgs {
    #[command(flatten)]
    who: WhoArgs,
    /// What they may do
    #[arg(
        long,
        help = "What they may do: viewer, analyst, admin or owner; with --platform platform_viewer or \
                        platform_admin"
    )]
    role: Role,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Who is removed.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    who: WhoArgs,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What both changes take.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Also when the tenant is left without an owner
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl ChangeArgs {
    fn parameters(&self) -> Vec<Parameter> {
        let mut parameters = self.wait.parameters();
        parameters.extend(self.force.then(|| ("force", "true".to_owned())));
        parameters
    }
}

/// The last part of the path of all memberships.
const COLLECTION: &str = "memberships";

const MEMBERS: &[Column] = &[
    ("USER", "userId"),
    ("ROLE", "role"),
    ("NAME", "displayName"),
    ("EMAIL", "email"),
    ("ADDED BY", "addedBy"),
    ("ADDED", "addedAt"),
    ("LAST SIGN-IN", "lastSignInAt"),
];

const INVITATIONS: &[Column] = &[
    ("INVITATION", "id"),
    ("ROLE", "role"),
    ("EMAIL", "email"),
    ("INVITED BY", "invitedBy"),
    ("EXPIRES", "expiresAt"),
];

const MEMBER_CARD: &[Column] = &[("User", "userId"), ("Role", "role"), ("Added by", "addedBy"), ("Added", "addedAt")];

const INVITATION_CARD: &[Column] = &[
    ("Invitation", "id"),
    ("E-mail", "email"),
    ("Role", "role"),
    ("Invited by", "invitedBy"),
    ("Expires", "expiresAt"),
];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: MembershipCommand) -> Outcome {
    match command {
        MembershipCommand::List(place) => {
            let page = args.connect()?.get(&borrowed(&place.path(args, COLLECTION, &[])), &[])?;
            output::print(&if args.json { output::json(&page) } else { tables(&page) })
        }
        MembershipCommand::Set(SetArgs { who, role, change }) => {
            let mut body = json!({ "role": role });
            match (&who.user_id, &who.email) {
                (Some(id), _) => body["userId"] = json!(id),
                (None, email) => body["email"] = json!(email),
            }
            let path = change.place.path(args, COLLECTION, &[]);
            let answer = args.connect()?.post_with(&borrowed(&path), &change.parameters(), &body)?;
            let card = if who.user_id.is_some() { MEMBER_CARD } else { INVITATION_CARD };
            output::print(&if args.json { output::json(&answer) } else { output::card(card, &answer) })?;
            change.wait.report(args, &answer)
        }
        MembershipCommand::Remove(RemoveArgs { who, change }) => {
            let id = match &who.user_id {
                Some(id) => id.to_string(),
                None => invitation(args, &change, who.email.as_ref())?,
            };
            let path = change.place.path(args, COLLECTION, &[&id]);
            let answer = args.connect()?.delete(&borrowed(&path), &change.parameters())?;
            output::print(&if args.json { output::json(&answer) } else { format!("{id} is removed.") })?;
            change.wait.report(args, &answer)
        }
    }
}

fn tables(page: &Value) -> String {
    let members = output::table(MEMBERS, key::list::items(page));
    match page["invitations"].as_array() {
        Some(invitations) if !invitations.is_empty() => {
            format!("{members}\n\n{}", output::table(INVITATIONS, invitations))
        }
        _ => members,
    }
}

/// The id of the invitation of an address.
fn invitation(args: &ClientArgs, change: &ChangeArgs, email: Option<&Email>) -> Outcome<String> {
    let page = args.connect()?.get(&borrowed(&change.place.path(args, COLLECTION, &[])), &[])?;
    let is_of = |invitation: &&Value| {
        let address = invitation["email"].as_str().and_then(|address| Email::parse(address).ok());
        address.is_some_and(|address| email.is_some_and(|email| email.is(&address)))
    };
    let found = page["invitations"].as_array().into_iter().flatten().find(is_of);
    let id = found.and_then(|invitation| invitation["id"].as_str());
    let missing = || Failure::refused("no open invitation has this address; members are removed by --user-id");
    id.map(str::to_owned).ok_or_else(missing)
}
