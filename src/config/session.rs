//! Query sessions: deadline and number.

use std::time::Duration;

use super::OptionDoc;
use super::value::{count, duration};

/// Bounds of query sessions.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The deadline of a query.
    pub ttl: Duration,
    /// The most queries of one tenant that run at once; the next gets 429.
    pub max_per_tenant: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(300), max_per_tenant: 8 }
    }
}

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("session-ttl"),
        env: "KEYLOFT_SESSION_TTL",
        key: Some("session.ttl"),
        default: "5m",
        unit: "duration",
        doc: "The deadline of a query: its session is closed and its work stopped when it comes.",
        set: |config, text| {
            config.session.ttl = duration(text, Duration::from_millis(1)..=Duration::from_secs(24 * 3600))?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("session-max-per-tenant"),
        env: "KEYLOFT_SESSION_MAX_PER_TENANT",
        key: Some("session.max_per_tenant"),
        default: "8",
        unit: "sessions",
        doc: "Queries of one tenant that run at once; the next one is answered 429.",
        set: |config, text| {
            config.session.max_per_tenant = count(text, 1..=10_000)?;
            Ok(())
        },
    },
];
