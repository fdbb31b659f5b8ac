//! `keyloft tenant`: create, list, suspend and delete tenants.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::output::{self, Column};
use super::{ClientArgs, Outcome, key};
use crate::cli::key::limits::LimitChanges;
use crate::key::{KeyType, Label, TenantId};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft tenant create acme --name 'Acme Inc.'
  keyloft tenant list
  keyloft tenant suspend acme";

/// The commands on tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Create a tenant
    #[command(after_help = "Example:\n  keyloft tenant create acme --name 'Acme Inc.'")]
    Create {
        /// Its id, for ever: a-z, 0-9, _ and -
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
        /// What people call it
        #[arg(long, value_parser = Label::parse)]
        name: Option<Label>,
    },
    /// List all tenants
    #[command(after_help = "Example:\n  keyloft tenant list")]
    List,
    /// Show one tenant
    #[command(after_help = "Example:\n  keyloft tenant show acme")]
    Show {
        /// Its id
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
    },
    /// Change how much all keys of a tenant together may be used
    #[command(after_help = "Example:\n  keyloft tenant update acme --requests-per-minute 6000:500")]
    Update(UpdateArgs),
    /// Refuse a tenant's keys until it is resumed; ends its running queries
    #[command(after_help = "Examples:\n  keyloft tenant suspend acme\n  keyloft tenant suspend acme --only ingestion")]
    Suspend {
        /// Its id
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
        /// Suspend just this, and let the other go on: ingestion or query
        #[arg(long, value_name = "TYPE")]
        only: Option<KeyType>,
    },
    /// Accept a tenant's keys again
    #[command(after_help = "Example:\n  keyloft tenant resume acme")]
    Resume {
        /// Its id
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
    },
    /// Delete a tenant for ever: revokes all its keys, and its id is not given again. Its events stay in the store
    #[command(after_help = "Example:\n  keyloft tenant delete acme")]
    Delete {
        /// Its id
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
    },
}

/// What is to change of a tenant; whatever is not said stays as it is.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    /// Its id
    #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
    id: TenantId,
    #[command(flatten)]
    limits: LimitChanges,
}

const COLUMNS: &[Column] =
    &[("TENANT", "tenantId"), ("NAME", "name"), ("SUSPENDED", "suspended"), ("CREATED", "createdAt")];

const CARD: &[Column] = &[
    ("TENANT", "tenantId"),
    ("NAME", "name"),
    ("SUSPENDED", "suspended"),
    ("LIMITS", "limits"),
    ("CREATED", "createdAt"),
];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: TenantCommand) -> Outcome {
    let client = args.connect()?;
    let tenant = |id: &TenantId, body: &Value| client.patch(&["tenants", id.as_str()], &[], body);
    match command {
        TenantCommand::Create { id, name } => {
            let mut body = json!({ "tenantId": id });
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            show(args, &client.post(&["tenants"], &body)?)
        }
        TenantCommand::List => {
            let page = key::list::all(&client, &["tenants"], &[], None)?;
            output::print(&if args.json {
                output::json(&page)
            } else {
                output::table(COLUMNS, key::list::items(&page))
            })
        }
        TenantCommand::Show { id } => show(args, &client.get(&["tenants", id.as_str()], &[])?),
        TenantCommand::Update(update) => {
            let id = &update.id;
            let limits = update.limits.over(|| client.get(&["tenants", id.as_str()], &[]))?;
            show(args, &tenant(id, &json!({ "limits": limits }))?)
        }
        TenantCommand::Suspend { id, only } => {
            let suspended = only.map_or(KeyType::ALL.to_vec(), |only| vec![only]);
            show(args, &tenant(&id, &json!({ "suspended": suspended }))?)
        }
        TenantCommand::Resume { id } => show(args, &tenant(&id, &json!({ "suspended": [] }))?),
        TenantCommand::Delete { id } => {
            let answer = client.delete(&["tenants", id.as_str()], &[])?;
            let words = format!("Tenant {id} is deleted and its keys are revoked. Its events stay in the store.");
            output::print(&if args.json { output::json(&answer) } else { words })
        }
    }
}

fn show(args: &ClientArgs, answer: &Value) -> Outcome {
    output::print(&if args.json { output::json(answer) } else { output::card(CARD, answer) })
}
