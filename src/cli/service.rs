//! `keyloft service`: machines, which administer with tokens of their own.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::key::settings::networks;
use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::place::{PlaceArgs, borrowed};
use super::terminal::escaped;
use super::when::seconds;
use super::{ClientArgs, Failure, Outcome, key};
use crate::key::{Label, MachineId, Networks};
use crate::operators::Role;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft service create --name ci --role admin
  keyloft service create --name grafana --role platform_viewer --platform --expires-in 30d
  keyloft service list
  keyloft service rotate 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10 --overlap 1d";

/// The commands on machines.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Make a machine; its token is shown once
    #[command(after_help = "Example:\n  keyloft service create --name ci --role admin --allowed-cidrs 10.0.0.0/8")]
    Create(CreateArgs),
    /// List the machines of a tenant, or of the platform
    #[command(after_help = "Examples:\n  keyloft service list\n  keyloft service list --platform")]
    List(PlaceArgs),
    /// Rename a machine, or change its role, its networks or its expiry
    #[command(after_help = "Example:\n  keyloft service update 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10 --role viewer")]
    Update(UpdateArgs),
    /// Give a machine a new token; the old one works until the overlap ends
    #[command(after_help = "Example:\n  keyloft service rotate 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10 --overlap 1d")]
    Rotate(RotateArgs),
    /// Remove a machine: its tokens are refused
    #[command(after_help = "Example:\n  keyloft service revoke 5f0c2e9e-3b44-4b8f-8f0e-7a2a4b6c8d10 --wait 5s")]
    Revoke(RevokeArgs),
}

/// A new machine.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name, unique among the machines there
    #[arg(long, value_parser = Label::parse)]
    name: Label,
    /// What it may do
    #[arg(long, value_parser = Role::parse_for_machine)]
    #[arg(help = "What it may do: viewer, analyst or admin; with --platform platform_viewer or platform_admin")]
    role: Role,
    /// The networks it may be used from, separated by commas [default: any]
    #[arg(long, value_name = "CIDRS", value_parser = networks)]
    allowed_cidrs: Option<Networks>,
    /// How long it works, at most 400d [default: 90d]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Changes of a machine; what is not said stays.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    /// Its id
    #[arg(value_name = "ID", value_parser = MachineId::parse)]
    id: MachineId,
    /// Its name
    #[arg(long, group = "change", value_parser = Label::parse)]
    name: Option<Label>,
    /// What it may do
    #[arg(long, group = "change", value_parser = Role::parse_for_machine)]
    role: Option<Role>,
    /// The networks it may be used from, separated by commas
    #[arg(long, group = "change", value_name = "CIDRS", value_parser = networks)]
    allowed_cidrs: Option<Networks>,
    /// Let it be used from any network
    #[arg(long, group = "change", conflicts_with = "allowed_cidrs")]
    any_network: bool,
    /// How long it works from now, at most 400d
    #[arg(long, group = "change", value_name = "DURATION", value_parser = seconds)]
    expires_in: Option<Duration>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Which machine, and for how long its old token works beside the new one.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Its id
    #[arg(value_name = "ID", value_parser = MachineId::parse)]
    id: MachineId,
    /// How long the old token keeps working, such as 1h or 7d, at most 400d; 0s ends it at once [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    overlap: Option<Duration>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Which machine.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Its id
    #[arg(value_name = "ID", value_parser = MachineId::parse)]
    id: MachineId,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// The last part of the path of all machines.
const COLLECTION: &str = "service-operators";

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("ROLE", "role"),
    ("TOKEN", "tokenHint"),
    ("NETWORKS", "allowedCidrs"),
    ("EXPIRES", "expiresAt"),
    ("CREATED BY", "createdBy"),
];

const CARD: &[Column] = &[
    ("Machine", "id"),
    ("Tenant", "tenant"),
    ("Name", "name"),
    ("Role", "role"),
    ("Token", "tokenHint"),
    ("Networks", "allowedCidrs"),
    ("Expires", "expiresAt"),
    ("Older tokens", "olderTokens"),
];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: ServiceCommand) -> Outcome {
    match command {
        ServiceCommand::Create(create) => {
            let mut body = json!({ "name": create.name, "role": create.role });
            if let Some(networks) = create.allowed_cidrs {
                body["allowedCidrs"] = json!(networks);
            }
            if let Some(lifetime) = create.expires_in {
                body["expiresInSeconds"] = json!(lifetime.as_secs());
            }
            output::require_output()?;
            let path = create.place.path(args, COLLECTION, &[]);
            let answer = args.connect()?.post_with(&borrowed(&path), &create.wait.parameters(), &body)?;
            show_token(args, &answer, "was made, but its token is lost: rotate it")?;
            create.wait.report(args, &answer)
        }
        ServiceCommand::List(place) => {
            let page = args.connect()?.get(&borrowed(&place.path(args, COLLECTION, &[])), &[])?;
            output::print(&if args.json {
                output::json(&page)
            } else {
                output::table(COLUMNS, key::list::items(&page))
            })
        }
        ServiceCommand::Update(update) => {
            let path = update.place.path(args, COLLECTION, &[&update.id.to_string()]);
            let answer = args.connect()?.patch(&borrowed(&path), &update.wait.parameters(), &update.body())?;
            output::print(&if args.json { output::json(&answer) } else { output::card(CARD, &answer) })?;
            update.wait.report(args, &answer)
        }
        ServiceCommand::Rotate(rotate) => {
            let mut body = json!({});
            if let Some(overlap) = rotate.overlap {
                body["overlapSeconds"] = json!(overlap.as_secs());
            }
            output::require_output()?;
            let path = rotate.place.path(args, COLLECTION, &[&rotate.id.to_string(), "rotate"]);
            let answer = args.connect()?.post_with(&borrowed(&path), &rotate.wait.parameters(), &body)?;
            show_token(args, &answer, "was rotated, but its new token is lost: rotate it again")?;
            rotate.wait.report(args, &answer)
        }
        ServiceCommand::Revoke(revoke) => {
            let path = revoke.place.path(args, COLLECTION, &[&revoke.id.to_string()]);
            let answer = args.connect()?.delete(&borrowed(&path), &revoke.wait.parameters())?;
            let words = format!("Machine {} is removed: its tokens are refused.", revoke.id);
            output::print(&if args.json { output::json(&answer) } else { words })?;
            revoke.wait.report(args, &answer)
        }
    }
}

impl UpdateArgs {
    fn body(&self) -> Value {
        let mut body = Map::new();
        let networks = self.allowed_cidrs.as_ref().map(|networks| json!(networks));
        for (field, value) in [
            ("name", self.name.as_ref().map(|name| json!(name))),
            ("role", self.role.map(|role| json!(role))),
            ("allowedCidrs", networks.or(self.any_network.then(|| json!([])))),
            ("expiresInSeconds", self.expires_in.map(|lifetime| json!(lifetime.as_secs()))),
        ] {
            body.extend(value.map(|value| (field.to_owned(), value)));
        }
        Value::Object(body)
    }
}

/// Shows a machine with its new token, which is shown only once.
fn show_token(args: &ClientArgs, answer: &Value, lost: &str) -> Outcome {
    let token = answer["token"].as_str();
    let token = token.ok_or_else(|| Failure::failed("the answer shows no token: is this a Keyloft server?"))?;
    let card = output::card(CARD, answer);
    let words = format!("Token  {}\n\nKeep it now: it is not shown again.\n\n{card}", escaped(token));
    output::print_once(&if args.json { output::json(answer) } else { words }).map_err(|failure| {
        let id = answer["id"].as_str().unwrap_or_default();
        Failure::failed(format!("machine {id} {lost} ({failure})"))
    })
}
