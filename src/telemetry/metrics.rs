//! The metrics of a server: a struct of counters, no statics, so that each server of a process has its own. The help
//! text of a metric is its contract.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashSet;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use super::decisions::{DecisionLevels, DecisionMetrics};
pub use super::format::MetricsFormat;
use super::format::to_prometheus;
use super::register::{add, with_unit};

/// Everything this node counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: HashSet<&'static str>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    denials: Family<DenialLabels, Counter>,
    /// Events that were accepted.
    pub events: Counter,
    quarantined: Family<FaultLabels, Counter>,
    /// Deliveries of Firehose that were repeated, and acknowledged without being stored again.
    pub repeated_deliveries: Counter,
    /// Bytes of accepted request bodies as they were sent.
    pub ingested_bytes: Counter,
    /// Requests refused because their tenant may have no more streams.
    pub stream_limit_refusals: Counter,
    keys: Gauge,
    keys_expiring: Gauge,
    tenants: Gauge,
    unreadable: Gauge,
    sessions: Gauge,
    limited: Gauge,
    limits_fallbacks: Counter,
    usage_keys: Gauge,
    usage_flush_failures: Counter,
    applied_seq: Gauge,
    unknown_changes: Counter,
    lookups: Family<LookupLabels, Counter>,
    view_age: Gauge<f64, AtomicU64>,
    clock_difference: Gauge<f64, AtomicU64>,
    store_mode: Family<ModeLabels, Gauge>,
    /// Decisions about requests.
    pub decisions: DecisionMetrics,
}

/// Labels of a request: a fixed set of words, whatever clients send.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

impl RequestLabels {
    fn new(method: &str, route: &'static str, status: u16) -> Self {
        let known = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or("other");
        Self { method, route, status }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    fault: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabels {
    mode: &'static str,
}

/// Values that are read when the metrics are scraped.
#[derive(Debug, Clone, Copy)]
pub struct Levels {
    /// Keys in memory.
    pub keys: usize,
    /// Live keys that expire within seven days, as of at most ten seconds ago.
    pub keys_expiring: usize,
    /// Tenants in memory.
    pub tenants: usize,
    /// Documents that cannot be used.
    pub unreadable: usize,
    /// Query sessions that are open.
    pub sessions: usize,
    /// Keys and tenants that have used part of a limit.
    pub limited: usize,
    /// Requests whose limits this node counted alone because Redis did not answer, since it started.
    pub limits_fallbacks: u64,
    /// Keys whose usage this node has written since it started.
    pub usage_keys: usize,
    /// Failed attempts to write usage counts.
    pub usage_flush_failures: u64,
    /// Every entry of the change log up to this one is in memory.
    pub applied_seq: u64,
    /// Changes of the log that were passed over since the node started: only later versions know their kind.
    pub unknown_changes: u64,
    /// Requests with a key that was not in memory, by outcome, since the node started.
    pub lookups: [(&'static str, u64); 4],
    /// Time since the keys in memory were known to be current.
    pub view_age_seconds: f64,
    /// How far the clock of this node is ahead of that of the store.
    pub clock_difference_seconds: f64,
    /// How documents are changed in the store.
    pub store_mode: &'static str,
    /// Those of decisions.
    pub decisions: DecisionLevels,
}

impl Metrics {
    /// Counts nothing yet. `routes` are the patterns that requests are counted by. Kinds of fault are shown from the
    /// start: a counter that appears with its first event hides that event from rates.
    pub fn new(routes: impl IntoIterator<Item = &'static str>, faults: impl IntoIterator<Item = &'static str>) -> Self {
        let mut registry = Registry::with_prefix("keyloft");
        let metrics = &mut registry;
        let seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        Self {
            routes: routes.into_iter().collect(),
            requests: add(metrics, "http_requests", "HTTP requests answered, by method, route and status"),
            request_seconds: with_unit(
                metrics,
                "http_request",
                "Time from the head of an HTTP request to the head of its response",
                Unit::Seconds,
                seconds,
            ),
            denials: add(
                metrics,
                "denials",
                "Requests denied because of their credential, its role or network, or to keep an owner, by reason",
            ),
            events: add(metrics, "ingested_events", "Events accepted and durably stored"),
            repeated_deliveries: add(
                metrics,
                "firehose_repeated_deliveries",
                "Firehose deliveries received again, and acknowledged without storing them twice",
            ),
            quarantined: quarantined(metrics, faults),
            ingested_bytes: with_unit(
                metrics,
                "ingested",
                "Size of accepted request bodies, as they were sent",
                Unit::Bytes,
                Counter::default(),
            ),
            stream_limit_refusals: add(
                metrics,
                "stream_limit_refusals",
                "Ingest requests refused because the tenant has as many streams as it may have",
            ),
            keys: add(metrics, "keys", "Keys in memory, including revoked keys"),
            keys_expiring: add(metrics, "keys_expiring", "Live keys that expire within 7 days"),
            tenants: add(metrics, "tenants", "Tenants in memory"),
            unreadable: add(metrics, "unreadable_documents", "Documents that cannot be used"),
            sessions: add(metrics, "query_sessions", "Open query sessions"),
            limited: add(metrics, "limited_subjects", "Keys and tenants that have used part of a rate limit"),
            limits_fallbacks: add(
                metrics,
                "limits_fallbacks",
                "Requests whose limits this node counted alone, because Redis did not answer",
            ),
            usage_keys: add(metrics, "usage_keys", "Keys whose usage this node has written since it started"),
            usage_flush_failures: add(
                metrics,
                "usage_flush_failures",
                "Failed attempts to write usage counts, which are kept and written later",
            ),
            applied_seq: add(metrics, "sync_applied_seq", "Number of the last change log entry that was applied"),
            unknown_changes: add(
                metrics,
                "sync_unknown_changes",
                "Changes in the change log that were passed over, because only a later version knows their kind",
            ),
            lookups: add(
                metrics,
                "unknown_key_lookups",
                "Requests with a key that is not in memory, by outcome: looked (the change log was read), or answered \
                 from memory because the node is alone (alone), the client network is over its budget (over_budget) or \
                 too many requests wait (busy)",
            ),
            view_age: with_unit(
                metrics,
                "sync_view_age",
                "Time since the keys in memory were known to be current",
                Unit::Seconds,
                Gauge::default(),
            ),
            clock_difference: with_unit(
                metrics,
                "clock_difference",
                "How far the clock of this node is ahead of that of the store, at least; below zero, how far behind",
                Unit::Seconds,
                Gauge::default(),
            ),
            store_mode: add(metrics, "store_mode", "How documents are changed in the store; always 1"),
            decisions: DecisionMetrics::new(metrics),
            registry,
        }
    }

    /// Counts an answered request, and gives the label of its route: `route` if it is a known pattern.
    pub fn count_request(&self, method: &str, route: Option<&str>, status: u16, took: Duration) -> &'static str {
        let route = route.and_then(|route| self.routes.get(route)).copied().unwrap_or("none");
        self.requests.get_or_create(&RequestLabels::new(method, route, status)).inc();
        self.request_seconds.observe(took.as_secs_f64());
        route
    }

    /// Counts events that were quarantined.
    pub fn count_quarantined(&self, fault: &'static str, events: u64) {
        self.quarantined.get_or_create(&FaultLabels { fault }).inc_by(events);
    }

    /// Counts a request that was denied because of its credential, or of what its holder may not do.
    pub fn count_denial(&self, reason: &'static str) {
        self.denials.get_or_create(&DenialLabels { reason }).inc();
    }

    /// The text of everything counted, with `levels` as they are now.
    pub fn render(&self, levels: Levels, format: MetricsFormat) -> String {
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.keys.set(signed(levels.keys));
        self.keys_expiring.set(signed(levels.keys_expiring));
        self.tenants.set(signed(levels.tenants));
        self.unreadable.set(signed(levels.unreadable));
        self.sessions.set(signed(levels.sessions));
        self.limited.set(signed(levels.limited));
        self.limits_fallbacks.inner().store(levels.limits_fallbacks, Ordering::Relaxed);
        self.usage_keys.set(signed(levels.usage_keys));
        self.usage_flush_failures.inner().store(levels.usage_flush_failures, Ordering::Relaxed);
        self.applied_seq.set(i64::try_from(levels.applied_seq).unwrap_or(i64::MAX));
        self.unknown_changes.inner().store(levels.unknown_changes, Ordering::Relaxed);
        for (outcome, count) in levels.lookups {
            self.lookups.get_or_create(&LookupLabels { outcome }).inner().store(count, Ordering::Relaxed);
        }
        self.view_age.set(levels.view_age_seconds);
        self.clock_difference.set(levels.clock_difference_seconds);
        self.store_mode.clear();
        self.store_mode.get_or_create(&ModeLabels { mode: levels.store_mode }).set(1);
        self.decisions.set(levels.decisions);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        match format {
            MetricsFormat::OpenMetrics => text,
            MetricsFormat::Prometheus => to_prometheus(&text),
        }
    }
}

fn quarantined(
    registry: &mut Registry,
    faults: impl IntoIterator<Item = &'static str>,
) -> Family<FaultLabels, Counter> {
    let help = "Events that did not fit their stream, stored as text in keyloft_rejected, by kind of fault";
    let family: Family<FaultLabels, Counter> = add(registry, "quarantined_events", help);
    for fault in faults {
        drop(family.get_or_create(&FaultLabels { fault }));
    }
    family
}
