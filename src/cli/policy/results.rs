//! `keyloft policy results`: what the policies have done.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::super::output::{self, Column};
use super::super::when::Moment;
use super::super::{Client, ClientArgs, Outcome};
use crate::clock::{Clock, SystemClock};

/// Which time, and how.
#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// Only since then: within this time (7d), or an instant (2026-11-01)
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    from: Option<Moment>,
    /// Only before then
    #[arg(long, value_name = "DURATION|INSTANT|DATE")]
    to: Option<Moment>,
    /// Show them again every two seconds, until interrupted
    #[arg(long)]
    watch: bool,
}

const PAUSE: Duration = Duration::from_secs(2);

const COLUMNS: &[Column] = &[
    ("POLICY", "name"),
    ("TOTAL", "total"),
    ("OBSERVE", "observe"),
    ("CHALLENGE", "challenge"),
    ("BLOCK", "block"),
    ("EXEMPTED", "exempted"),
    ("CLEARED", "cleared"),
    ("LAST", "lastMatchedAt"),
];

/// Shows the results.
pub(super) fn run(args: &ClientArgs, asked: &ResultsArgs) -> Outcome {
    let client = args.connect()?;
    loop {
        let answer = read(args, &client, asked)?;
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        output::print(&match (args.json, items.is_empty()) {
            (true, _) => output::json(&answer),
            (_, true) => "No policy yet: see keyloft policy apply.".to_owned(),
            _ => output::table(COLUMNS, &items),
        })?;
        if !asked.watch {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
        if !args.json {
            output::print("")?;
        }
    }
}

fn read(args: &ClientArgs, client: &Client, asked: &ResultsArgs) -> Outcome<Value> {
    let (tenant, now) = (args.tenant(), SystemClock.now());
    let parameters = [("from", asked.from.map(|from| from.past(now))), ("to", asked.to.map(|to| to.past(now)))];
    let parameters: Vec<_> = parameters.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    client.get(&["tenants", tenant.as_str(), "results", "policies"], &parameters)
}
