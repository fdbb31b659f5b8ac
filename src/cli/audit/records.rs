//! Records of the audit, for people and for programs.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::connection::{Client, Parameter};
use crate::cli::key::list::{all, items};
use crate::cli::output::{self, Column};
use crate::cli::place::{PlaceArgs, borrowed};
use crate::cli::terminal::escaped;
use crate::cli::when::Moment;
use crate::cli::{ClientArgs, Failure, Outcome};
use crate::clock::{Clock, SystemClock};

/// How often `tail` asks.
const PERIOD: Duration = Duration::from_secs(1);
/// The largest page of a server.
const PAGE: &str = "1000";

/// Which records.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Only since then: within this time (7d), or an instant (2026-11-01)
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    from: Option<Moment>,
    /// Only before then
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    to: Option<Moment>,
    /// Only of this actor, by id, or of actors of this kind, such as machine
    #[arg(long)]
    actor: Option<String>,
    /// Only of this action, such as key.issue, or of this family, such as key
    #[arg(long)]
    action: Option<String>,
    /// Only about the object of this id or name, or of this kind, such as key
    #[arg(long)]
    target: Option<String>,
    /// Only with this outcome: done, unchanged, refused or failed
    #[arg(long)]
    outcome: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which records to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    records: RecordArgs,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Which records to follow.
#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    records: RecordArgs,
    /// Begin with so many that are there already
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    lines: u32,
}

const COLUMNS: &[Column] = &[
    ("AT", "at"),
    ("ACTOR", "actor"),
    ("ACTION", "action"),
    ("TARGET", "target"),
    ("ADDRESS", "address"),
    ("OUTCOME", "outcome"),
    ("ID", "auditId"),
];

impl RecordArgs {
    fn path(&self, args: &ClientArgs) -> Vec<String> {
        self.place.path(args, "audit", &[])
    }

    fn parameters(&self) -> Vec<Parameter> {
        let now = SystemClock.now();
        let parameters = [
            ("from", self.from.map(|from| from.past(now))),
            ("to", self.to.map(|to| to.past(now))),
            ("actor", self.actor.clone()),
            ("action", self.action.clone()),
            ("target", self.target.clone()),
            ("outcome", self.outcome.clone()),
        ];
        parameters.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

pub(super) fn list(args: &ClientArgs, list: &ListArgs) -> Outcome {
    let (path, parameters) = (list.records.path(args), list.records.parameters());
    let page = all(&args.connect()?, &borrowed(&path), &parameters, Some(list.limit as usize))?;
    if args.json {
        return output::print(&output::json(&page));
    }
    let rows: Vec<Value> = items(&page).iter().map(row).collect();
    output::print(&output::table(COLUMNS, &rows))
}

pub(super) fn export(args: &ClientArgs, export: &RecordArgs) -> Outcome {
    let (client, path, parameters) = (args.connect()?, export.path(args), export.parameters());
    let mut cursor = None;
    loop {
        let page = page(&client, &path, &parameters, cursor, PAGE)?;
        items(&page).iter().try_for_each(|record| output::print(&record.to_string()))?;
        match page["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}

pub(super) fn tail(args: &ClientArgs, tail: &TailArgs) -> Outcome {
    let (client, path, parameters) = (args.connect()?, tail.records.path(args), tail.records.parameters());
    let mut known = Position::default();
    let first = page(&client, &path, &parameters, None, &tail.lines.to_string())?;
    show(args, items(&first), &mut known)?;
    loop {
        std::thread::sleep(PERIOD);
        let (mut new, mut cursor) = (Vec::new(), None);
        loop {
            let mut page = page(&client, &path, &parameters, cursor, PAGE)?;
            let Value::Array(records) = page["items"].take() else { break };
            let count = records.len();
            new.extend(records.into_iter().take_while(|record| Position::of(record) > known));
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            let is_reached = new.len() < count || cursor.as_deref().is_none_or(|next| Position::parse(next) <= known);
            if is_reached {
                break;
            }
        }
        show(args, &new, &mut known)?;
    }
}

/// Prints records, the oldest first.
fn show(args: &ClientArgs, newest_first: &[Value], known: &mut Position) -> Outcome {
    for record in newest_first.iter().rev() {
        output::print(&if args.json { record.to_string() } else { line(record) })?;
        *known = Position::of(record).max(*known);
    }
    Ok(())
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position(u64, u64);

impl Position {
    fn of(record: &Value) -> Self {
        Self::parse(record["auditId"].as_str().unwrap_or_default())
    }

    fn parse(id: &str) -> Self {
        let (seq, index) = id.split_once('-').unwrap_or_default();
        Self(seq.parse().unwrap_or_default(), index.parse().unwrap_or_default())
    }
}

fn page(
    client: &Client,
    path: &[String],
    parameters: &[Parameter],
    cursor: Option<String>,
    limit: &str,
) -> Outcome<Value> {
    let mut parameters = parameters.to_vec();
    parameters.push(("limit", limit.to_owned()));
    parameters.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
    let page = client.get(&borrowed(path), &parameters)?;
    if !page["items"].is_array() {
        return Err(Failure::failed("the answer is no list: is this a Keyloft server?"));
    }
    if cursor.is_some() && page["nextCursor"].as_str() == cursor.as_deref() {
        return Err(Failure::failed("the server gave the same cursor twice"));
    }
    Ok(page)
}

/// What people see of a record.
fn row(record: &Value) -> Value {
    let (actor, target) = (&record["actor"], &record["target"]);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let actor = text(&actor["label"]).or_else(|| text(&actor["id"])).or_else(|| text(&actor["kind"]));
    let name = text(&target["name"]).or_else(|| text(&target["id"])).unwrap_or_default();
    let target = format!("{} {name}", text(&target["kind"]).unwrap_or_default());
    json!({
        "at": record["at"], "actor": actor, "action": record["action"], "target": target,
        "address": record["request"]["address"], "outcome": outcome(record), "auditId": record["auditId"],
    })
}

/// What became of it, why, and how often, such as `refused role_not_allowed x12`.
fn outcome(record: &Value) -> String {
    let mut outcome = record["outcome"].as_str().unwrap_or_default().to_owned();
    if let Some(code) = record["code"].as_str() {
        outcome.push_str(&format!(" {code}"));
    }
    if let Some(count) = record["count"].as_u64().filter(|count| *count > 1) {
        outcome.push_str(&format!(" x{count}"));
    }
    outcome
}

/// A record in one line.
fn line(record: &Value) -> String {
    let row = row(record);
    let cell = |(_, field): &Column| escaped(row[*field].as_str().unwrap_or("-")).into_owned();
    COLUMNS.iter().map(cell).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_that_cannot_act_on_the_terminal() {
        let record = json!({
            "auditId": "7-0", "at": "2026-11-28T01:02:03.456Z", "actor": {"kind": "admin_token", "id": null},
            "action": "key.issue", "target": {"kind": "key", "id": "5f0c", "name": "a\u{1b}[31m\nb"},
            "request": {"address": null}, "outcome": "done",
        });
        let expected = "2026-11-28T01:02:03.456Z  admin_token  key.issue  key a\\u{1b}[31m\\nb  -  done  7-0";
        assert_eq!(line(&record), expected);
    }

    #[test]
    fn records_are_in_the_order_of_the_log() {
        let positions = ["9-0", "10-0", "10-9", "10-10"].map(Position::parse);
        assert!(positions.is_sorted_by(|one, next| one < next));
    }
}
