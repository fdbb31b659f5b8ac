//! The metrics of traffic policies.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::register::{add, with_unit};

/// What becomes of a challenge: it is issued, solved, or waited for instead; the wait is not over; what comes back is
/// none of ours or no solution, comes too late, or while too many are verified.
const CHALLENGE_OUTCOMES: [&str; 7] = ["issued", "solved", "waited", "too_early", "invalid", "expired", "busy"];

/// What this node counts of decisions.
#[derive(Debug)]
pub struct DecisionMetrics {
    decisions: Family<DecisionLabels, Counter>,
    matches: Family<OutcomeLabels, Counter>,
    challenges: Family<OutcomeLabels, Counter>,
    seconds: Histogram,
    entities: Gauge,
    evicted: Counter,
    fallbacks: Counter,
    dropped: Counter,
    traffic_dropped: Counter,
    held: Gauge,
    held_waiting: Gauge,
    held_dropped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    action: &'static str,
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// Values that are read when the metrics are scraped.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecisionLevels {
    /// Windows of entities in memory.
    pub entities: usize,
    /// Those that were forgotten for want of memory since the node started.
    pub evicted: u64,
    /// Events whose windows this node counted alone since then, because Redis did not answer.
    pub fallbacks: u64,
    /// Rows of decisions that could not be recorded since then.
    pub dropped: u64,
    /// Rows of requests that could not be recorded since then.
    pub traffic_dropped: u64,
    /// Entities that are held by policies.
    pub held: usize,
    /// Those of them that are not shared with other nodes yet.
    pub held_waiting: usize,
    /// Those that were let go early, or kept to this node, since then.
    pub held_dropped: u64,
}

impl DecisionMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let seconds = Histogram::new(exponential_buckets(0.000_001, 4.0, 10));
        let decisions: Family<DecisionLabels, Counter> =
            add(registry, "decisions", "Requests that were decided about, by what was answered and the door");
        let matches: Family<OutcomeLabels, Counter> =
            add(registry, "policy_matches", "Policies that matched a request, by what came of it");
        // A counter that appears with its first event hides that event from rates.
        for door in ["decide", "ingest"] {
            for action in ["allow", "challenge", "block"] {
                drop(decisions.get_or_create(&DecisionLabels { action, door }));
            }
        }
        for outcome in ["observe", "challenge", "cleared", "block", "exempted"] {
            drop(matches.get_or_create(&OutcomeLabels { outcome }));
        }
        let challenges: Family<OutcomeLabels, Counter> =
            add(registry, "challenges", "Challenges that were issued, and what came back, by outcome");
        for outcome in CHALLENGE_OUTCOMES {
            drop(challenges.get_or_create(&OutcomeLabels { outcome }));
        }
        Self {
            decisions,
            matches,
            challenges,
            seconds: with_unit(
                registry,
                "decide",
                "Time that a decision took in memory, without HTTP",
                Unit::Seconds,
                seconds,
            ),
            entities: add(registry, "policy_entities", "Windows of entities in memory"),
            evicted: add(registry, "policy_evicted", "Windows of entities that were forgotten for want of memory"),
            fallbacks: add(
                registry,
                "policy_fallbacks",
                "Requests whose windows this node counted alone, because Redis did not answer",
            ),
            dropped: add(
                registry,
                "decisions_dropped",
                "Matches that were not recorded, because too many waited for the store",
            ),
            traffic_dropped: add(
                registry,
                "traffic_dropped",
                "Requests that were not recorded, because too many waited for the store",
            ),
            held: add(registry, "mitigations_active", "Active mitigations in memory"),
            held_waiting: add(
                registry,
                "mitigations_waiting",
                "Active mitigations that are not shared with other nodes yet",
            ),
            held_dropped: add(
                registry,
                "mitigations_dropped",
                "Active mitigations that ended early for want of memory, or stayed on this node",
            ),
        }
    }

    /// Counts a decision.
    pub fn count(
        &self,
        action: &'static str,
        door: &'static str,
        outcomes: impl IntoIterator<Item = &'static str>,
        took: Duration,
    ) {
        self.decisions.get_or_create(&DecisionLabels { action, door }).inc();
        self.seconds.observe(took.as_secs_f64());
        for outcome in outcomes {
            self.matches.get_or_create(&OutcomeLabels { outcome }).inc();
        }
    }

    /// Counts what became of a challenge: one of [`CHALLENGE_OUTCOMES`].
    pub fn count_challenge(&self, outcome: &'static str) {
        self.challenges.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(super) fn set(&self, levels: DecisionLevels) {
        self.entities.set(i64::try_from(levels.entities).unwrap_or(i64::MAX));
        self.evicted.inner().store(levels.evicted, Ordering::Relaxed);
        self.fallbacks.inner().store(levels.fallbacks, Ordering::Relaxed);
        self.dropped.inner().store(levels.dropped, Ordering::Relaxed);
        self.traffic_dropped.inner().store(levels.traffic_dropped, Ordering::Relaxed);
        self.held.set(i64::try_from(levels.held).unwrap_or(i64::MAX));
        self.held_waiting.set(i64::try_from(levels.held_waiting).unwrap_or(i64::MAX));
        self.held_dropped.inner().store(levels.held_dropped, Ordering::Relaxed);
    }
}
