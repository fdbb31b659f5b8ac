//! `keyloft policy check`: a file of policies, offline: whether it is valid, and what it would have done on a log.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::output::{self, Column};
use super::super::terminal::complain;
use super::super::{ClientArgs, Failure, Outcome, input};
use super::file;
use crate::policy::Fault;
use crate::policy::entity::Pseudonyms;
use crate::policy::event::{Arrival, Door, LogFormat};
use crate::policy::set::{CompiledSet, PolicySet, compile};
use crate::policy::tally::{PolicyTally, Tallies};
use crate::policy::trial::Trial;

/// The largest log that is read, in bytes.
const MAX_LOG_BYTES: u64 = 4 << 30;
/// The memory of the windows, in bytes.
const STATE_BYTES: usize = 256 << 20;
/// So many unreadable lines are named; the others are counted.
const NAMED_LINES: usize = 20;

/// What to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file that declares the set; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// A log: what would the set have done? It is sorted by time first
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How the log is written: combined, nginx-json, ecs or ndjson (as decide takes events)
    #[arg(long, default_value = "combined", value_parser = format, requires = "log")]
    format: LogFormat,
}

fn format(name: &str) -> Result<LogFormat, &'static str> {
    LogFormat::parse(name).ok_or("must be combined, nginx-json, ecs or ndjson")
}

/// What policies would have done, for people.
pub(super) const COLUMNS: &[Column] = &[
    ("POLICY", "name"),
    ("TOTAL", "total"),
    ("ENTITIES", "entities"),
    ("OBSERVE", "observe"),
    ("CHALLENGE", "challenge"),
    ("BLOCK", "block"),
    ("EXEMPTED", "exempted"),
];

/// What was read of a log.
#[derive(Debug, Default)]
struct Reading {
    events: u64,
    /// The numbers of the first unreadable lines, and why.
    named: Vec<(u64, String)>,
    unreadable: u64,
}

/// Checks a file, and with a log says what it would have done.
pub(super) fn run(args: &ClientArgs, check: &CheckArgs) -> Outcome {
    let (_, named) = file::read(&check.file)?;
    let checked = named.apply(&PolicySet::default(), true, new_id).and_then(|set| Ok((compile(&set)?, set)));
    let (compiled, set) = match checked {
        Ok(checked) => checked,
        Err(faults) => {
            if args.json {
                output::print(&output::json(&json!({ "valid": false, "errors": faults })))?;
            }
            return Err(wrong(&check.file, &faults));
        }
    };
    let Some(log) = &check.log else {
        let (policies, actions) = (set.policies.len(), set.actions.len());
        return output::print(&match args.json {
            true => output::json(&json!({ "valid": true, "policies": policies, "actions": actions })),
            false => format!("The set is valid: {policies} policies, {actions} actions."),
        });
    };
    let bytes = input::file(log, MAX_LOG_BYTES)?;
    let (tallies, reading) = replay(&compiled, &bytes, &check.format);
    report(args, &set, &tallies, &reading)
}

#[allow(clippy::disallowed_methods)] // Nothing depends on which id it is.
fn new_id() -> Uuid {
    Uuid::new_v4()
}

fn wrong(file: &Path, faults: &[Fault]) -> Failure {
    let mut lines = faults.iter().map(|fault| format!("{}: {fault}", file.display()));
    Failure::usage(lines.next().unwrap_or_default()).with_lines(lines)
}

/// Decides about every line of a log, in the order of their times.
fn replay(set: &CompiledSet, log: &[u8], format: &LogFormat) -> (Tallies, Reading) {
    let mut reading = Reading::default();
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(log.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        match format.read(line, Arrival::new(Door::Ingest, 0), |event| event.observed_at_ms()) {
            Ok(at_ms) => lines.push((at_ms, line)),
            Err(error) => {
                reading.unreadable += 1;
                if reading.named.len() < NAMED_LINES {
                    reading.named.push((number, error.to_string()));
                }
            }
        }
    }
    lines.sort_by_key(|(at_ms, _)| *at_ms); // Stable: lines of one time stay in their order.
    let (mut trial, pseudonyms) = (Trial::new(set, STATE_BYTES), Pseudonyms::new(b"offline", "offline"));
    let mut tallies = Tallies::default();
    for (at_ms, line) in lines {
        reading.events += 1;
        let judged = format.read(line, Arrival::new(Door::Ingest, 0), |event| {
            let decision = trial.decide(&pseudonyms, &event);
            tallies.add(at_ms, &decision.matches);
        });
        debug_assert!(judged.is_ok(), "it was read before");
    }
    (tallies, reading)
}

fn report(args: &ClientArgs, set: &PolicySet, tallies: &Tallies, reading: &Reading) -> Outcome {
    let items = set
        .policies
        .iter()
        .map(|policy| json!(PolicyTally::new(&policy.name, policy.policy_id.and_then(|id| tallies.of(id)))));
    let items: Vec<Value> = items.collect();
    if args.json {
        let unreadable: Vec<Value> =
            reading.named.iter().map(|(line, reason)| json!({ "line": line, "reason": reason })).collect();
        return output::print(&output::json(&json!({
            "events": reading.events, "unreadable": reading.unreadable, "unreadableLines": unreadable, "items": items,
        })));
    }
    for (line, reason) in &reading.named {
        complain(&format!("line {line} is not counted: {reason}"));
    }
    let table = output::table(COLUMNS, &items);
    output::print(&format!("{table}\n\n{} events, {} unreadable lines.", reading.events, reading.unreadable))
}
