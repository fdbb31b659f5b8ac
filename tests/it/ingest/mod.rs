//! Events over `/api/v1/ingest`, `/api/v1/logstream` and `/api/v1/firehose`.

mod events;
mod firehose;
mod media_types;
mod quarantine;
mod whole;
mod wide;
