//! `keyloft stream`: show the fields and settings of a stream, and change its settings.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};

use super::key::wait::WaitArgs;
use super::output::{self, Column};
use super::{ClientArgs, Outcome};
use crate::key::StreamName;
use crate::stream::OnInvalid;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft stream show web
  keyloft stream update web --on-invalid quarantine
  keyloft --tenant acme stream update web --on-invalid reject --wait 5s";

/// The commands on streams.
#[derive(Debug, Subcommand)]
pub enum StreamCommand {
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
    let client = args.connect()?;
    let tenant = args.tenant();
    let path = |name: &StreamName| ["tenants", tenant.as_str(), "logstream", name.as_str()].map(str::to_owned);
    match command {
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
