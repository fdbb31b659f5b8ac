//! Behaviour over real HTTP, one file per behaviour. One binary, because linking is what costs.
//!
//! `scripts/test.sh` runs everything: it starts the stores and sets the feature `paused-time`. Plain `cargo test` runs what
//! needs neither, and names what it ignores.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)] // Nothing here is anybody's API.

mod support;

mod apply;
mod apply_crash;
mod attribution;
mod bulk;
mod bulk_cli;
mod bulk_crash;
mod canary;
mod cli;
mod contested;
mod cors;
mod credentials;
mod docs;
mod documents;
mod early_answers;
mod expiry;
mod file_changes;
mod files;
mod firehose;
mod fleet;
mod half_closed;
#[cfg(feature = "paused-time")]
mod history;
mod import;
mod ingest;
mod ingest_whole;
mod key_changes;
mod keys;
mod limits;
mod log;
#[cfg(feature = "paused-time")]
mod maintenance;
mod many_nodes;
mod media_types;
mod metrics;
mod networks;
mod own_secrets;
mod quarantine;
mod query;
mod rates;
mod rates_shared;
mod rotation;
mod rotation_model;
mod routes;
mod scopes;
mod scripts;
mod session_places;
mod sessions;
mod shared_directory;
mod shutdown;
mod smoke;
mod starting;
mod store_check;
mod store_contract;
mod store_faults;
mod store_modes;
mod tenants;
mod tidy;
mod unknown_keys;
mod usage;
mod usage_fold;
mod usage_histories;
mod usage_stream;
mod verify;

#[cfg(not(feature = "paused-time"))]
#[test]
#[ignore = "needs time that can stand still: run scripts/test.sh"]
fn the_histories_of_many_nodes() {}
