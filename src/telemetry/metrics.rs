//! A struct of counters, no statics: every server of a process has its own. The help text of each metric is its contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use super::format::MetricsFormat;
use super::format::to_prometheus;

/// Everything this node counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answered requests.
    pub requests: Family<RequestLabels, Counter>,
    /// How long requests took until the head of their answer was ready.
    pub request_seconds: Histogram,
    denials: Family<DenialLabels, Counter>,
    /// Events that were accepted.
    pub events: Counter,
    /// Events that were set aside.
    pub quarantined: Family<FaultLabels, Counter>,
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
    lookups: Family<LookupLabels, Counter>,
    view_age: Gauge<f64, AtomicU64>,
    store_mode: Family<ModeLabels, Gauge>,
}

/// Labels of a request: a fixed set of words, whatever clients send.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

impl RequestLabels {
    /// `route` must be a route's pattern, not a path.
    pub fn new(method: &str, route: &str, status: u16) -> Self {
        let known = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"];
        let method = known.into_iter().find(|known| *known == method).unwrap_or("other");
        Self { method, route: route.into(), status }
    }
}

/// Why an event was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FaultLabels {
    /// The kind of fault, of a fixed set of words.
    pub fault: &'static str,
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

/// What is true now, read when the metrics are.
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
    /// Keys and tenants of whose limits something is used.
    pub limited: usize,
    /// How often this node counted limits alone although it was told to ask Redis, since it started.
    pub limits_fallbacks: u64,
    /// Keys of whose use this node has written since it started.
    pub usage_keys: usize,
    /// How often what was used could not be written down.
    pub usage_flush_failures: u64,
    /// Every entry of the change log up to this one is in memory.
    pub applied_seq: u64,
    /// What was decided about keys that were not in memory, since the node started: a word, and how often.
    pub lookups: [(&'static str, u64); 4],
    /// Since when the store is not known to hold nothing newer.
    pub view_age_seconds: f64,
    /// How documents are changed in the store.
    pub store_mode: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("keyloft"),
            requests: Family::default(),
            request_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            denials: Family::default(),
            events: Counter::default(),
            quarantined: Family::default(),
            repeated_deliveries: Counter::default(),
            ingested_bytes: Counter::default(),
            stream_limit_refusals: Counter::default(),
            keys: Gauge::default(),
            keys_expiring: Gauge::default(),
            tenants: Gauge::default(),
            unreadable: Gauge::default(),
            sessions: Gauge::default(),
            limited: Gauge::default(),
            limits_fallbacks: Counter::default(),
            usage_keys: Gauge::default(),
            usage_flush_failures: Counter::default(),
            applied_seq: Gauge::default(),
            lookups: Family::default(),
            view_age: Gauge::default(),
            store_mode: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("http_requests", "Answered requests", metrics.requests.clone());
        registry.register_with_unit(
            "http_request",
            "Time until the head of the answer was ready",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register("denials", "Credentials that gave no permit, by reason", metrics.denials.clone());
        registry.register("ingested_events", "Events accepted, durably", metrics.events.clone());
        registry.register(
            "firehose_repeated_deliveries",
            "Deliveries of Firehose that were stored already, and acknowledged again",
            metrics.repeated_deliveries.clone(),
        );
        registry.register(
            "quarantined_events",
            "Events that a stream could not hold, stored as text in keyloft_rejected, by kind of fault",
            metrics.quarantined.clone(),
        );
        registry.register_with_unit(
            "ingested",
            "Accepted request bodies, as they were sent",
            Unit::Bytes,
            metrics.ingested_bytes.clone(),
        );
        registry.register(
            "stream_limit_refusals",
            "Requests with events that were refused because their tenant may have no more streams",
            metrics.stream_limit_refusals.clone(),
        );
        registry.register("keys", "Keys in memory, revoked ones included", metrics.keys.clone());
        registry.register("keys_expiring", "Live keys that expire within 7 days", metrics.keys_expiring.clone());
        registry.register("tenants", "Tenants in memory", metrics.tenants.clone());
        registry.register("unreadable_documents", "Documents that cannot be used", metrics.unreadable.clone());
        registry.register("query_sessions", "Query sessions that are open", metrics.sessions.clone());
        registry.register(
            "limited_subjects",
            "Keys and tenants of whose limits something is used",
            metrics.limited.clone(),
        );
        registry.register(
            "limits_fallbacks",
            "Requests whose limits this node counted alone, because Redis did not answer",
            metrics.limits_fallbacks.clone(),
        );
        registry.register(
            "usage_keys",
            "Keys of whose use this node has written since it started",
            metrics.usage_keys.clone(),
        );
        registry.register(
            "usage_flush_failures",
            "Times that what keys were used for could not be written down; it is kept and tried again",
            metrics.usage_flush_failures.clone(),
        );
        registry.register("sync_applied_seq", "Last entry of the change log in memory", metrics.applied_seq.clone());
        registry.register(
            "unknown_key_lookups",
            "Unknown keys, by what was done: looked for in the change log, or answered from memory because the node is \
             alone, their network is over its budget, or the node is busy",
            metrics.lookups.clone(),
        );
        registry.register_with_unit(
            "sync_view_age",
            "Time since the store was known to hold nothing newer",
            Unit::Seconds,
            metrics.view_age.clone(),
        );
        registry.register("store_mode", "How keys are changed in the store; always 1", metrics.store_mode.clone());
        metrics
    }
}

impl Metrics {
    /// Shows these kinds of fault from the start: a counter that appears with its first event hides that event from rates.
    pub fn know_faults(&self, faults: impl IntoIterator<Item = &'static str>) {
        for fault in faults {
            drop(self.quarantined.get_or_create(&FaultLabels { fault }));
        }
    }

    /// Counts a credential that gave no permit.
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
        for (outcome, count) in levels.lookups {
            self.lookups.get_or_create(&LookupLabels { outcome }).inner().store(count, Ordering::Relaxed);
        }
        self.view_age.set(levels.view_age_seconds);
        self.store_mode.clear();
        self.store_mode.get_or_create(&ModeLabels { mode: levels.store_mode }).set(1);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        match format {
            MetricsFormat::OpenMetrics => text,
            MetricsFormat::Prometheus => to_prometheus(&text),
        }
    }
}
