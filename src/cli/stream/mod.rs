//! `keyloft stream`: show the fields and settings of a stream, change its settings, and delete it.
//!
//! [`list`]: all streams, and how much each holds.  [`objects`]: the objects of one, for other engines.

mod list;
mod objects;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::{ClientArgs, Failure, Outcome, input};
use crate::key::{RetentionDays, StreamName};
use crate::stream::OnInvalid;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft stream list
  keyloft stream objects web --from 1d --output duckdb
  keyloft stream show web
  keyloft stream update web --on-invalid quarantine
  keyloft stream update web --retention 30d
  keyloft --tenant acme stream update web --on-invalid reject --wait 5s";

const OBJECTS_EXAMPLES: &str = "Examples:
  keyloft stream objects web --output duckdb
  keyloft stream objects web --from 2026-11-01 --to 2026-12-01 --output spark

An object that is printed stays in the store for at least as long as a query may last.";

const DELETE_EXAMPLES: &str = "Examples:
  keyloft stream delete web
  keyloft --tenant acme stream delete web --yes --wait 30s";

/// The commands on streams.
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
    /// List the streams, and how much each holds
    #[command(after_help = "Example:\n  keyloft --tenant acme stream list")]
    List,
    /// Print the objects that a stream consists of, or a statement with which DuckDB or Spark reads them
    #[command(after_help = OBJECTS_EXAMPLES)]
    Objects(objects::ObjectsArgs),
    /// Show the fields and settings of a stream
    #[command(after_help = "Example:\n  keyloft stream show web")]
    Show {
        /// Its name
        #[arg(value_name = "STREAM", value_parser = StreamName::parse)]
        name: StreamName,
    },
    /// Change the settings of a stream; it may have no events yet
    #[command(after_help = EXAMPLES)]
    Update(UpdateArgs),
    /// Delete a stream: its events, fields and settings
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(DeleteArgs),
}

/// Which stream is deleted.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Its name
    #[arg(value_name = "STREAM", value_parser = StreamName::parse)]
    name: StreamName,
    /// Ask for no confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Changes of a stream; other settings stay.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub struct UpdateArgs {
    /// Its name
    #[arg(value_name = "STREAM", value_parser = StreamName::parse)]
    name: StreamName,
    /// How a request with faulty events is handled: reject refuses the whole request; quarantine stores the good events
    /// and keeps the others in the stream `keyloft_rejected`
    #[arg(long, group = "change", value_name = "reject|quarantine")]
    on_invalid: Option<OnInvalid>,
    /// How many days events are kept; 0d is for ever
    #[arg(long, group = "change", value_name = "DAYS")]
    retention: Option<RetentionDays>,
    /// Keep events for as long as the tenant says
    #[arg(long, group = "change", conflicts_with = "retention")]
    no_retention: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

const CARD: &[Column] = &[
    ("Stream", "stream"),
    ("Tenant", "tenantId"),
    ("On invalid", "onInvalid"),
    ("Retention (days)", "retentionDays"),
    ("Modified", "modifiedAt"),
    ("Modified by", "modifiedBy"),
];

const FIELDS: &[Column] = &[("FIELD", "name"), ("TYPE", "type")];

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: StreamCommand) -> Outcome {
    let command = match command {
        StreamCommand::List => return list::run(args),
        StreamCommand::Objects(wanted) => return objects::run(args, &wanted),
        other => other,
    };
    let client = args.connect()?;
    let tenant = args.tenant();
    let path = |name: &StreamName| ["tenants", tenant.as_str(), "logstream", name.as_str()].map(str::to_owned);
    match command {
        StreamCommand::List | StreamCommand::Objects(_) => Ok(()),
        StreamCommand::Show { name } => {
            let path = path(&name);
            show(args, &client.get(&path.each_ref().map(String::as_str), &[])?)
        }
        StreamCommand::Update(update) => {
            let path = path(&update.name);
            let mut body = json!({});
            if let Some(on_invalid) = update.on_invalid {
                body["onInvalid"] = json!(on_invalid);
            }
            if update.no_retention {
                body["retentionDays"] = Value::Null;
            }
            if let Some(days) = update.retention {
                body["retentionDays"] = json!(days);
            }
            let path = path.each_ref().map(String::as_str);
            let answer = client.patch(&path, &update.wait.parameters(), &body)?;
            show(args, &answer)?;
            match update.wait.judge(&answer)? {
                Some(applied) if !args.json => output::print(&applied),
                _ => Ok(()),
            }
        }
        StreamCommand::Delete(delete) => {
            let path = path(&delete.name);
            let path = path.each_ref().map(String::as_str);
            if !delete.yes {
                client.get(&path, &[])?; // It is there.
                confirm(&delete.name)?;
            }
            let answer = client.delete(&path, &delete.wait.parameters())?;
            let words = match answer["finished"].as_bool() {
                Some(true) => format!("Stream {} is deleted. Its name can be used again.", delete.name),
                _ => format!(
                    "Stream {} is deleted. Its fields keep their types until every node has heard.",
                    delete.name
                ),
            };
            output::print(&if args.json { output::json(&answer) } else { words })?;
            match delete.wait.judge(&answer)? {
                Some(applied) if !args.json => output::print(&applied),
                _ => Ok(()),
            }
        }
    }
}

fn confirm(name: &StreamName) -> Outcome {
    if !input::is_terminal() {
        return Err(Failure::usage(format!("all events of {name} would be deleted: say --yes if that is meant")));
    }
    if input::agrees(&format!("All events of the stream {name} will be deleted for ever. Go on?"))? {
        Ok(())
    } else {
        Err(Failure::failed("nothing is deleted"))
    }
}

fn show(args: &ClientArgs, answer: &Value) -> Outcome {
    if args.json {
        return output::print(&output::json(answer));
    }
    let card = output::card(CARD, answer);
    let fields = answer["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    output::print(&if fields.is_empty() { card } else { format!("{card}\n\n{}", output::table(FIELDS, fields)) })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: StreamCommand,
    }

    #[test]
    fn an_update_changes_something_and_knows_its_words() {
        assert!(Line::try_parse_from(["", "update", "web", "--on-invalid", "quarantine", "--wait", "5s"]).is_ok());
        for line in [
            "update web",
            "update web --on-invalid drop",
            "delete",
            "delete Web",
            "update Web --on-invalid reject",
            "show",
        ] {
            assert!(Line::try_parse_from([""].into_iter().chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
