//! `keyloft key revoke`: one key, or all that a filter selects.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::super::when::Moment;
use super::super::{Client, ClientArgs, Failure, Outcome, input, output};
use super::bulk::answer::BulkAnswer;
use super::show::KeyRef;
use super::wait::WaitArgs;
use crate::clock::{Clock, SystemClock};
use crate::key::{KeyType, Label, NamePattern};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key revoke checkout
  keyloft key revoke checkout --tenant acme
  keyloft key revoke checkout --wait 5s
  keyloft key revoke --source-id web-prod --dry-run
  keyloft key revoke --name-pattern 'ci-*' --unused-since 30d --yes";

/// Which key or keys, and how long to wait for other nodes.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("meant").required(true).multiple(true))]
#[command(group = ArgGroup::new("filter").multiple(true).conflicts_with("key"))]
pub struct RevokeArgs {
    /// Its id, or the name of a key that is not revoked
    #[arg(value_name = "ID|NAME", group = "meant")]
    key: Option<KeyRef>,
    /// All keys of this sending system
    #[arg(long, value_name = "LABEL", groups = ["meant", "filter"], value_parser = Label::parse)]
    source_id: Option<Label>,
    /// All keys with such a name; * stands for any characters
    #[arg(long, value_name = "PATTERN", groups = ["meant", "filter"], value_parser = NamePattern::parse)]
    name_pattern: Option<NamePattern>,
    /// All keys that were not used for this long, such as 30d, or since an instant
    #[arg(long, value_name = "DURATION|INSTANT|DATE", groups = ["meant", "filter"])]
    unused_since: Option<Moment>,
    /// All keys that were issued by this name
    #[arg(long, value_name = "LABEL", groups = ["meant", "filter"], value_parser = Label::parse)]
    created_by: Option<Label>,
    /// Of those, only keys of this type: ingestion or query
    #[arg(long = "type", value_name = "TYPE", requires = "filter")]
    key_type: Option<KeyType>,
    /// Show how many keys that would be, and revoke none
    #[arg(long, requires = "filter")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, requires = "filter")]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) fn run(args: &ClientArgs, revoke: &RevokeArgs) -> Outcome {
    let client = args.connect()?;
    let Some(key) = &revoke.key else { return run_filter(args, &client, revoke) };
    let (tenant, id) = (args.tenant(), key.id(args, &client)?.to_string());
    let path = ["tenants", tenant.as_str(), "apikeys", &id];
    let answer = client.delete(&path, &revoke.wait.parameters())?;
    output::print(&if args.json { output::json(&answer) } else { format!("Key {id} is revoked.") })?;
    match revoke.wait.judge(&answer)? {
        Some(applied) if !args.json => output::print(&applied),
        _ => Ok(()),
    }
}

impl RevokeArgs {
    fn filter(&self) -> Value {
        let said = [
            ("sourceId", self.source_id.as_ref().map(|value| json!(value))),
            ("name", self.name_pattern.as_ref().map(|value| json!(value))),
            ("unusedSince", self.unused_since.map(|since| json!(since.past(SystemClock.now())))),
            ("createdBy", self.created_by.as_ref().map(|value| json!(value))),
            ("keyType", self.key_type.map(|value| json!(value))),
        ];
        Value::Object(said.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect())
    }
}

/// Counts the keys, asks for confirmation, and revokes them.
fn run_filter(args: &ClientArgs, client: &Client, revoke: &RevokeArgs) -> Outcome {
    let line = json!({"op": "revoke", "filter": revoke.filter()});
    if revoke.dry_run || !revoke.yes {
        let rehearsed = ask(args, client, &line, revoke, true, args.json && revoke.dry_run)?;
        let count = rehearsed.count("revoked");
        if revoke.dry_run {
            rehearsed.print(true)?;
            return rehearsed.judge(&revoke.wait, args.json);
        }
        rehearsed.judge(&revoke.wait, true)?;
        if count == 0 {
            return if args.json { Ok(()) } else { output::print("No key is meant.") };
        }
        confirm(count)?;
    }
    let done = ask(args, client, &line, revoke, false, args.json)?;
    done.print(false)?;
    done.judge(&revoke.wait, args.json)
}

fn ask(
    args: &ClientArgs,
    client: &Client,
    line: &Value,
    revoke: &RevokeArgs,
    dry_run: bool,
    json: bool,
) -> Outcome<BulkAnswer> {
    let mut answer = BulkAnswer::new(json, 1);
    let mut parameters = revoke.wait.parameters();
    parameters.push(("dryRun", dry_run.to_string()));
    let (tenant, body) = (args.tenant(), format!("{line}\n").into_bytes());
    let path = ["tenants", tenant.as_str(), "apikeys", "bulk"];
    let ended = client.stream(&path, &parameters, body, |line| answer.line(line));
    answer.finish();
    ended.map(|()| answer)
}

fn confirm(count: u64) -> Outcome {
    if !input::is_terminal() {
        return Err(Failure::usage(format!("{count} keys would be revoked: say --yes if that is meant")));
    }
    if input::agrees(&format!("{count} keys will be revoked for ever. Go on?"))? {
        Ok(())
    } else {
        Err(Failure::failed("nothing is revoked"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        revoke: RevokeArgs,
    }

    fn parse(line: &[&str]) -> Result<RevokeArgs, clap::Error> {
        Line::try_parse_from([&[""], line].concat()).map(|line| line.revoke)
    }

    #[test]
    fn a_key_or_a_filter_is_meant_never_both_and_never_nothing() {
        let filter = |line: &[&str]| parse(line).unwrap().filter();
        assert_eq!(filter(&["--source-id", "web", "--type", "query"]), json!({"sourceId": "web", "keyType": "query"}));
        let since = ["--unused-since", "2027-01-01T01:00:00+01:00", "--name-pattern", "ci-*"];
        assert_eq!(filter(&since), json!({"unusedSince": "2027-01-01T00:00:00.000Z", "name": "ci-*"}));
        assert!(filter(&["--unused-since", "30d"])["unusedSince"].is_string());
        assert!(parse(&["checkout"]).is_ok());
        for bad in
            [&[][..], &["--type", "query"], &["--yes"], &["checkout", "--source-id", "web"], &["checkout", "--yes"]]
        {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
