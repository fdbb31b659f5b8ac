//! Options of ingest: how much, and how long the first request of a batch waits.

use std::time::Duration;

use super::OptionDoc;
use super::value::{GIB, KIB, duration, size};

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
        default: "auto",
        unit: "duration",
        doc: "How long the first request of a batch waits for others to share its object; auto is 20ms, and up to 250ms on S3 while a stream is busy.",
        set: |config, text| {
            let fixed = || duration(text, Duration::from_millis(1)..=Duration::from_secs(10));
            config.ingest.window = (text != "auto").then(fixed).transpose()?;
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
