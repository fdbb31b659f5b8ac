//! Behaviour over real HTTP, one file per behaviour, in folders like the URLs. One binary, because linking is what
//! costs.
//!
//! `scripts/test.sh` runs everything: it starts the stores and sets the feature `paused-time`. Plain `cargo test` runs
//! what needs neither, and names what it ignores.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)] // Nothing here is anybody's API.

mod support;

mod access;
mod audit;
mod cli;
mod docs;
mod ingest;
mod keys;
mod nodes;
mod operators;
mod policies;
mod query;
mod scripts;
mod server;
mod signin;
mod store;
mod streams;
mod tenants;
mod tidy;
mod usage;

#[cfg(not(feature = "paused-time"))]
#[test]
#[ignore = "needs time that can stand still: run scripts/test.sh"]
fn the_histories_of_many_nodes() {}
