//! Taking events in: how much, how long to wait for company.

use std::time::Duration;

use super::OptionDoc;
use super::value::{GIB, KIB, MIB, duration, size};

/// Bounds of ingest.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// The largest body of one request, in bytes after decompression.
    pub max_body_bytes: usize,
    /// How long the first request of a batch waits for others to share its object.
    pub window: Duration,
    /// Events held in memory until they are durable, in bytes over all requests; more are told to come back.
    pub max_in_flight_bytes: usize,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self { max_body_bytes: 10 * MIB, window: Duration::from_millis(20), max_in_flight_bytes: 256 * MIB }
    }
}

pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc {
        flag: Some("ingest-max-body"),
        env: "KEYLOFT_INGEST_MAX_BODY",
        key: Some("ingest.max_body"),
        default: "10MiB",
        unit: "size",
        doc: "The largest body of one request, after decompression; a larger one is answered 413.",
        set: |config, text| {
            config.ingest.max_body_bytes = size(text, KIB..=GIB)?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("ingest-window"),
        env: "KEYLOFT_INGEST_WINDOW",
        key: Some("ingest.window"),
        default: "20ms",
        unit: "duration",
        doc: "How long the first request of a batch waits for others to share its object.",
        set: |config, text| {
            config.ingest.window = duration(text, Duration::from_millis(1)..=Duration::from_secs(10))?;
            Ok(())
        },
    },
    OptionDoc {
        flag: Some("ingest-max-in-flight"),
        env: "KEYLOFT_INGEST_MAX_IN_FLIGHT",
        key: Some("ingest.max_in_flight"),
        default: "256MiB",
        unit: "size",
        doc: "Events held in memory until they are durable, over all requests; at least ingest-max-body.",
        set: |config, text| {
            config.ingest.max_in_flight_bytes = size(text, KIB..=64 * GIB)?;
            Ok(())
        },
    },
];
