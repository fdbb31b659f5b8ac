//! `keyloft stream`: show the fields and settings of a stream, and change its settings.
//!
//! [`list`]: all streams, and how much each holds.  [`objects`]: the objects of one, for other engines.

mod list;
mod objects;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::{ClientArgs, Outcome};
use crate::key::StreamName;
use crate::stream::OnInvalid;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft stream list
  keyloft stream objects web --from 1d --output duckdb
  keyloft stream show web
  keyloft stream update web --on-invalid quarantine
  keyloft --tenant acme stream update web --on-invalid reject --wait 5s";

const OBJECTS_EXAMPLES: &str = "Examples:
  keyloft stream objects web --output duckdb
  keyloft stream objects web --from 2026-11-01 --to 2026-12-01 --output spark

An object that is printed stays in the store for at least as long as a query may last.";

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
    #[command(flatten)]
    wait: WaitArgs,
}

const CARD: &[Column] = &[
    ("Stream", "stream"),
    ("Tenant", "tenantId"),
    ("On invalid", "onInvalid"),
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
            let path = path.each_ref().map(String::as_str);
            let answer = client.patch(&path, &update.wait.parameters(), &body)?;
            show(args, &answer)?;
            match update.wait.judge(&answer)? {
                Some(applied) if !args.json => output::print(&applied),
                _ => Ok(()),
            }
        }
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
        for line in ["update web", "update web --on-invalid drop", "update Web --on-invalid reject", "show"] {
            assert!(Line::try_parse_from([""].into_iter().chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
