//! `keyloft policy backtest`: what a draft, or the set in force, would have done with stored traffic.

use std::io::IsTerminal;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::super::output::{self, Column};
use super::super::terminal::{complain, escaped};
use super::super::when::Moment;
use super::super::{ClientArgs, Failure, Outcome};
use super::check::COLUMNS;
use super::file;
use crate::clock::{Clock, SystemClock};

/// What to try, and on what.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// A draft of the set [default: the one in force]; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A stream to read; may be repeated [default: those that the set judges]
    #[arg(short, long = "stream", value_name = "STREAM")]
    streams: Vec<String>,
    /// The events that arrived in the last so many days
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["from", "to"], required_unless_present = "from",
          value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
    /// Those that arrived since then: within this time (36h), or an instant (2026-11-01)
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    from: Option<Moment>,
    /// Those that arrived before then [default: now]
    #[arg(long, value_name = "DURATION|INSTANT|DATE", requires = "from")]
    to: Option<Moment>,
}

const CHANGES: &[Column] = &[("IN FORCE", "from"), ("TRIED", "to"), ("EVENTS", "events")];
const TOP: &[Column] = &[("ENTITY", "entity"), ("EVENTS", "events")];

/// Tries a set.
pub(super) fn run(args: &ClientArgs, asked: &BacktestArgs) -> Outcome {
    let now = SystemClock.now();
    let days = |days: u16| now.checked_sub_signed(TimeDelta::days(days.into())).map(text);
    let from = asked.days.and_then(days).or_else(|| asked.from.map(|from| from.past(now)));
    let to = asked.to.map_or_else(|| text(now), |to| to.past(now));
    let mut body = json!({ "from": from, "to": to });
    if let Some(draft) = &asked.file {
        body["policySet"] = json!(file::read(draft)?.1);
    }
    if !asked.streams.is_empty() {
        body["streams"] = json!(asked.streams);
    }
    let tenant = args.tenant();
    let is_watched = !args.json && std::io::stderr().is_terminal();
    let (mut last, mut shown) = (Value::Null, 0);
    args.connect()?.stream_json(&["tenants", tenant.as_str(), "policyset", "backtest"], &body, |line| {
        last = serde_json::from_str(line).map_err(|_| Failure::failed("the answer is not JSON"))?;
        let events = last["progress"]["events"].as_u64().unwrap_or_default();
        if events > shown && is_watched {
            shown = events;
            complain(&format!("{events} of at most {} events", last["progress"]["eventsAtMost"]));
        }
        Ok(())
    })?;
    if let Some(error) = last.get("error") {
        let word = |member: &str| error[member].as_str().unwrap_or_default().to_owned();
        let message = format!("{} ({}, {})", word("detail"), error["status"], word("code"));
        let is_client = error["status"].as_u64().is_some_and(|status| (400..500).contains(&status) && status != 429);
        return Err(if is_client { Failure::refused(message) } else { Failure::unavailable(message) });
    }
    let Some(result) = last.get("result") else {
        return Err(Failure::unavailable("the answer is not complete: the server has ended the backtest"));
    };
    output::print(&if args.json { output::json(result) } else { people(result) })
}

fn text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn people(result: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let items = list(&result["items"]);
    let mut parts = vec![output::table(COLUMNS, &items)];
    for item in &items {
        let top = list(&item["top"]);
        if !top.is_empty() {
            let name = item["name"].as_str().unwrap_or_default();
            parts.push(format!("Most often by {}:\n{}", escaped(name), output::table(TOP, &top)));
        }
    }
    let changed = list(&result["changed"]);
    parts.push(match (result["policySetVersion"].is_null(), changed.is_empty()) {
        (false, _) => format!("Version {} was tried, which is in force.", result["inForce"]),
        (true, true) => format!("No answer differs from version {}.", result["inForce"]),
        (true, false) => {
            let table = output::table(CHANGES, &changed);
            format!("Answers that differ from version {}:\n{table}", result["inForce"])
        }
    });
    for lack in list(&result["inForceLacks"]) {
        parts.push(format!("The version in force was not judged as it is: {}.", escaped(lack.as_str().unwrap_or("-"))));
    }
    let read = bytesize::ByteSize::b(result["bytesRead"].as_u64().unwrap_or_default());
    let seconds = result["seconds"].as_f64().unwrap_or_default();
    let objects = match &result["objects"] {
        one if *one == 1 => "1 object".to_owned(),
        many => format!("{many} objects"),
    };
    parts.push(format!("{} events, {objects}, {read} read, {seconds:.1} s.", result["events"]));
    if result["forgotten"].as_u64().is_some_and(|forgotten| forgotten > 0) {
        let forgotten = &result["forgotten"];
        parts.push(format!("{forgotten} windows were forgotten for want of memory: the counts are at least so high."));
    }
    parts.join("\n\n")
}
