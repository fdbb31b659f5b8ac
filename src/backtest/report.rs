//! What a backtest answers.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::policy::engine::Verdict;
use crate::policy::set::CompiledPolicy;
use crate::policy::tally::{Often, PolicyTally, Tally, Totals};

/// How far a backtest is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How many events were judged.
    pub events: u64,
    /// How many there are, as far as is known: those of objects that overlap the time asked for.
    pub events_at_most: u64,
    /// How many bytes of objects were read.
    pub bytes_read: u64,
}

/// What a set would have done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version that was tried; none for a draft.
    pub policy_set_version: Option<u64>,
    /// The version in force, with which it is compared; 0 when there is none.
    pub in_force: u64,
    /// The first arrival of events that were read.
    pub from: String,
    /// The first that was not.
    pub to: String,
    /// The streams.
    pub streams: Vec<String>,
    /// How many events were judged.
    pub events: u64,
    /// How many objects they were in.
    pub objects: u64,
    /// How many bytes of those were read.
    pub bytes_read: u64,
    /// How long it took.
    pub seconds: f64,
    /// How many events had which answer.
    pub decisions: Verdicts,
    /// How many would be answered in another way than by the version in force.
    pub changed: Vec<Change>,
    /// The fields that the version in force reads and a stream has not: there, it may have decided in another way.
    pub in_force_lacks: Vec<String>,
    /// How many windows were forgotten for want of memory; the counts are exact while it is 0.
    pub forgotten: u64,
    /// Its policies.
    pub items: Vec<PolicyItem>,
    /// Some of the decisions that matched a policy.
    pub samples: Vec<Value>,
}

/// How many events had which answer.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Verdicts {
    allow: u64,
    challenge: u64,
    block: u64,
}

/// An answer that is another one.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Change {
    /// By the version in force.
    pub from: Verdict,
    /// By the set that was tried.
    pub to: Verdict,
    /// How many.
    pub events: u64,
}

/// The answers of two sets to the same events.
#[derive(Debug, Default)]
pub struct Answers(BTreeMap<(Verdict, Verdict), u64>);

impl Answers {
    /// Counts an event.
    pub fn add(&mut self, by_version_in_force: Verdict, tried: Verdict) {
        *self.0.entry((by_version_in_force, tried)).or_default() += 1;
    }

    /// How many had which answer.
    pub fn verdicts(&self) -> Verdicts {
        let of = |verdict| self.0.iter().filter(|((_, tried), _)| *tried == verdict).map(|(_, events)| events).sum();
        Verdicts { allow: of(Verdict::Allow), challenge: of(Verdict::Challenge), block: of(Verdict::Block) }
    }

    /// Those that differ.
    pub fn changed(&self) -> Vec<Change> {
        let differ = self.0.iter().filter(|((from, to), _)| from != to);
        differ.map(|((from, to), events)| Change { from: *from, to: *to, events: *events }).collect()
    }
}

/// A policy, and what it would have done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyItem {
    policy_id: String,
    #[serde(flatten)]
    shared: Value,
    /// Whether there were more entities or hours than are counted each.
    is_cut: bool,
    top: Vec<Often>,
    hours: Vec<Hour>,
}

#[derive(Debug, Serialize)]
struct Hour {
    hour: String,
    #[serde(flatten)]
    totals: Totals,
}

impl PolicyItem {
    /// A policy of the set that was tried.
    pub fn new(policy: &CompiledPolicy, tally: Option<&Tally>) -> Self {
        let hour = |(at_ms, totals)| Hour {
            hour: instant(DateTime::from_timestamp_millis(at_ms).unwrap_or_default()),
            totals,
        };
        Self {
            policy_id: policy.id.to_string(),
            shared: serde_json::json!(PolicyTally::new(&policy.name, tally)),
            is_cut: tally.is_some_and(Tally::is_cut),
            top: tally.map_or_else(Vec::new, Tally::top),
            hours: tally.map_or_else(Vec::new, |tally| tally.hours().map(hour).collect()),
        }
    }
}

/// A time as answers have it.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
