//! The values that metrics show as they are when they are scraped.

use super::app::App;
use crate::store::StoreMode;
use crate::telemetry::metrics::{DecisionLevels, Levels};

impl App {
    /// The current values of the gauges.
    pub(crate) async fn levels(&self) -> Levels {
        let cache = self.keystore.cache();
        Levels {
            keys: cache.key_count(),
            keys_expiring: self.keystore.expiring_soon().await,
            tenants: self.keystore.tenants().len(),
            unreadable: self.unreadable().len(),
            sessions: self.sessions.list().len(),
            limited: self.limiter.subjects(),
            limits_fallbacks: self.limiter.fallbacks(),
            usage_keys: self.usage.key_count(),
            usage_flush_failures: self.usage.failures(),
            applied_seq: self.keystore.replica().applied_seq(),
            unknown_changes: self.keystore.replica().unknown_changes(),
            lookups: self.keystore.replica().lookup_counts(),
            clock_difference_seconds: self.keystore.replica().store_clock().difference().as_seconds_f64(),
            view_age_seconds: self.keystore.replica().age().map_or(0.0, |age| age.as_seconds_f64()),
            decisions: self.decision_levels(),
            store_mode: self.bucket.mode().map_or("unknown", StoreMode::as_str),
        }
    }

    fn decision_levels(&self) -> DecisionLevels {
        let size = self.decider.state().size();
        let held = self.decider.mitigations().levels();
        DecisionLevels {
            entities: size.entries,
            evicted: size.evicted,
            fallbacks: self.decider.fallbacks(),
            dropped: self.decider.recorder().dropped(),
            traffic_dropped: self.decider.traffic().dropped(),
            held: held.active,
            held_waiting: held.waiting,
            held_dropped: held.dropped,
        }
    }
}
