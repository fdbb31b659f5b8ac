//! `keyloft tenant`: create, list, suspend and delete tenants.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Map, Value, json};

use super::output::{self, Column};
use super::when::seconds;
use super::{ClientArgs, Failure, Outcome, input, key};
use crate::cli::key::settings::LimitChanges;
use crate::key::{KeyType, Label, RetentionDays, TenantId};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft tenant create acme --name 'Acme Inc.'
  keyloft tenant list
  keyloft tenant update acme --max-key-lifetime 365d
  keyloft tenant suspend acme";

const UPDATE_EXAMPLES: &str = "Examples:
  keyloft tenant update acme --default-key-lifetime 90d --max-key-lifetime 365d
  keyloft tenant update acme --requests-per-minute 6000:500
  keyloft tenant update acme --retention 30d
  keyloft tenant update acme --no-max-key-lifetime --no-limits";

/// The commands on tenants.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Create a tenant
    #[command(after_help = "Example:\n  keyloft tenant create acme --name 'Acme Inc.'")]
    Create {
        /// Its id, for ever: a-z, 0-9, _ and -
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
        /// Its display name
        #[arg(long, value_parser = Label::parse)]
        name: Option<Label>,
        /// How long its keys last
        #[command(flatten)]
        lifetimes: LifetimeArgs,
    },
    /// Rename a tenant, or change how long its keys last and how much they may be used together
    #[command(after_help = UPDATE_EXAMPLES)]
    Update(UpdateArgs),
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
    /// Refuse a tenant's keys until it is resumed; ends its running queries
    #[command(after_help = "Examples:\n  keyloft tenant suspend acme\n  keyloft tenant suspend acme --only ingestion")]
    Suspend {
        /// Its id
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
        /// Suspend only this type of key: ingestion or query
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
    /// Delete a tenant for ever: revokes all its keys, and its id is not given again
    #[command(after_help = "Examples:\n  keyloft tenant delete acme\n  keyloft tenant delete acme --events delete")]
    Delete {
        /// Its id
        #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
        id: TenantId,
        /// What becomes of its events: keep, or delete for ever, in the background
        #[arg(long, value_name = "keep|delete", value_parser = ["keep", "delete"], default_value = "keep")]
        events: String,
        /// Ask for no confirmation before events are deleted
        #[arg(long)]
        yes: bool,
    },
}

/// The lifetimes of a tenant's keys. Existing keys are unaffected.
#[derive(Debug, Args)]
pub struct LifetimeArgs {
    /// How long a key lasts by default, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    default_key_lifetime: Option<Duration>,
    /// How long a key lasts at most, such as 365d; keys that never expire are then refused
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    max_key_lifetime: Option<Duration>,
}

impl LifetimeArgs {
    /// Adds the options to a body.
    fn add_to(&self, body: &mut Value) {
        let said = [
            ("defaultKeyLifetimeSeconds", self.default_key_lifetime),
            ("maxKeyLifetimeSeconds", self.max_key_lifetime),
        ];
        for (field, lifetime) in said {
            if let Some(lifetime) = lifetime {
                body[field] = json!(lifetime.as_secs());
            }
        }
    }
}

/// Changes of a tenant; settings without an option stay.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["default_key_lifetime", "max_key_lifetime"]))]
pub struct UpdateArgs {
    /// Its id
    #[arg(value_name = "TENANT", value_parser = TenantId::parse)]
    id: TenantId,
    /// Its display name
    #[arg(long, group = "change", value_parser = Label::parse)]
    name: Option<Label>,
    #[command(flatten)]
    lifetimes: LifetimeArgs,
    /// Remove the default: keys never expire by default, or last as long as the maximum
    #[arg(long, group = "change", conflicts_with = "default_key_lifetime")]
    no_default_key_lifetime: bool,
    /// Remove the maximum
    #[arg(long, group = "change", conflicts_with = "max_key_lifetime")]
    no_max_key_lifetime: bool,
    /// How many days events are kept in streams that do not say; 0d is for ever
    #[arg(long, group = "change", value_name = "DAYS")]
    retention: Option<RetentionDays>,
    /// Keep events for as long as the server says
    #[arg(long, group = "change", conflicts_with = "retention")]
    no_retention: bool,
    #[command(flatten)]
    limits: LimitChanges,
}

impl UpdateArgs {
    /// The body to send; limits are replaced whole, so `known` is asked for the current ones when some of them stay.
    fn body(&self, known: impl FnOnce() -> Outcome<Value>) -> Outcome<Value> {
        let mut body = Value::Object(Map::new());
        if let Some(name) = &self.name {
            body["name"] = json!(name);
        }
        self.lifetimes.add_to(&mut body);
        let cleared = [
            (self.no_default_key_lifetime, "defaultKeyLifetimeSeconds"),
            (self.no_max_key_lifetime, "maxKeyLifetimeSeconds"),
            (self.no_retention, "retentionDays"),
        ];
        if let Some(days) = self.retention {
            body["retentionDays"] = json!(days);
        }
        for (_, field) in cleared.into_iter().filter(|(cleared, _)| *cleared) {
            body[field] = Value::Null;
        }
        if let Some(limits) = self.limits.over(known)? {
            body["limits"] = limits;
        }
        Ok(body)
    }
}

const COLUMNS: &[Column] =
    &[("TENANT", "tenantId"), ("NAME", "name"), ("SUSPENDED", "suspended"), ("CREATED", "createdAt")];

const CARD: &[Column] = &[
    ("Tenant", "tenantId"),
    ("Name", "name"),
    ("Suspended", "suspended"),
    ("Limits", "limits"),
    ("Key lifetime (s)", "defaultKeyLifetimeSeconds"),
    ("At most (s)", "maxKeyLifetimeSeconds"),
    ("Retention (days)", "retentionDays"),
    ("Created", "createdAt"),
    ("Modified", "modifiedAt"),
    ("Modified by", "modifiedBy"),
];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: TenantCommand) -> Outcome {
    let client = args.connect()?;
    let tenant = |id: &TenantId, body: &Value| client.patch(&["tenants", id.as_str()], &[], body);
    match command {
        TenantCommand::Create { id, name, lifetimes } => {
            let mut body = json!({ "tenantId": id });
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            lifetimes.add_to(&mut body);
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
        TenantCommand::Show { id } => {
            let answer = client.get(&["tenants", id.as_str()], &[])?;
            match &answer["erasure"] {
                Value::Object(erasure) if !args.json => output::print(&erased(&id, erasure)),
                _ => show(args, &answer),
            }
        }
        TenantCommand::Update(update) => {
            let body = update.body(|| client.get(&["tenants", update.id.as_str()], &[]))?;
            show(args, &tenant(&update.id, &body)?)
        }
        TenantCommand::Suspend { id, only } => {
            let suspended = only.map_or(KeyType::ALL.to_vec(), |only| vec![only]);
            show(args, &tenant(&id, &json!({ "suspended": suspended }))?)
        }
        TenantCommand::Resume { id } => show(args, &tenant(&id, &json!({ "suspended": [] }))?),
        TenantCommand::Delete { id, events, yes } => {
            let erasing = events == "delete";
            if erasing && !yes {
                confirm(&id)?;
            }
            let parameters: &[_] = if erasing { &[("events", events)] } else { &[] };
            let answer = client.delete(&["tenants", id.as_str()], parameters)?;
            let keys = match answer["keysToRevoke"].as_u64() {
                Some(count) if count > 0 => {
                    format!("its {count} keys are refused; the server goes on to revoke them")
                }
                _ => "its keys are revoked".to_owned(),
            };
            // They go too if that was asked for before.
            let events = match answer["erasing"] == true {
                true => format!("The server goes on to erase its events: see keyloft tenant show {id}."),
                false => "Its events stay in the store.".to_owned(),
            };
            let words = format!("Tenant {id} is deleted and {keys}. {events}");
            output::print(&if args.json { output::json(&answer) } else { words })
        }
    }
}

/// How far the erasure of a deleted tenant's events is.
fn erased(id: &TenantId, erasure: &Map<String, Value>) -> String {
    let removed = erasure.get("objectsRemoved").and_then(Value::as_u64).unwrap_or_default();
    match erasure.get("finishedAt").and_then(Value::as_str) {
        Some(at) => format!("Tenant {id} is deleted. Its events are erased since {at}: {removed} objects."),
        None => format!("Tenant {id} is deleted. Its events are being erased: {removed} objects so far."),
    }
}

fn confirm(id: &TenantId) -> Outcome {
    if !input::is_terminal() {
        return Err(Failure::usage(format!("all events of {id} would be deleted: say --yes if that is meant")));
    }
    if input::agrees(&format!("The tenant {id} and all its events will be deleted for ever. Go on?"))? {
        Ok(())
    } else {
        Err(Failure::failed("nothing is deleted"))
    }
}

fn show(args: &ClientArgs, answer: &Value) -> Outcome {
    output::print(&if args.json { output::json(answer) } else { output::card(CARD, answer) })
}
