//! Keyloft: an API-key keystore that lives in a bucket. Keys are JSON objects in an object store, every node keeps them
//! all in memory, and an `X-API-KEY` middleware authenticates requests against that memory. There is no database.
//!
//! # Two ways to use it
//!
//! - The `keyloft` binary: a server with built-in ingest and SQL, and the command line of its operators.
//! - This crate: a [`Keystore`] to embed, with `default-features = false`; with the feature `server` also the actix
//!   middleware `http::middleware::api_key`.
//!
//! # Code map
//!
//! Data flows one way: `http → access → keystore → cache`, and writes go `http → keystore → documents → store → cache`. The modules in
//! reading order:
//!
//! | module | what lives there |
//! |---|---|
//! | [`error`], [`clock`] | the public error; time as an argument |
//! | [`key`] | keys as values: ids, secrets, digests, credentials, patterns. Pure |
//! | `serde_text` | what JSON bodies and YAML files have in common (feature `server`) |
//! | [`layout`] | every object name, both ways |
//! | [`store`] | the bucket: conditional writes, durable local files |
//! | [`documents`] | versioned JSON documents, and the one way to change them; who asks for a change |
//! | [`cache`] | all keys in memory, behind one lock |
//! | [`sync`] | keeping memory equal to the bucket, and nodes to each other |
//! | [`keystore`] | issue, list, update, revoke; tenants. **The front door** |
//! | [`access`] | what a credential may do: **the one decision**, permits, query sessions, the admin token; limits (feature `server`) |
//! | `stream` | streams and their fields (feature `server`) |
//! | `ingest` | JSON to durable Parquet, in groups (feature `server`) |
//! | `query` | SQL over what one session may read (feature `query`) |
//! | `usage` | what each key was used for, counted and written down (feature `server`) |
//! | `telemetry` | logs and metrics (feature `server`) |
//! | `config` | options, one struct per concern (feature `server`) |
//! | `http` | every route on one page, middleware, answers (feature `server`) |
//! | `cli` | the boot sequence, and the commands of operators (feature `server`) |
//!
//! # Invariants
//!
//! - **A secret exists in clear text only between [`key::PlainSecret::generate`] and the answer that shows it.**
//!   Everything stored or cached is a [`key::Digest`].
//! - **The tenant comes from the key**, never from a client's header.
//! - **A permit is the only way to a handler**, and [`access::authenticate`] the only way to a permit: no await, no store,
//!   one short read lock. **[`access::decide()`] holds every rule**, whoever asks.
//! - **Nothing is acknowledged before it is durable**, document and change log both, and nothing is in memory before it is
//!   in the bucket. One exception, towards safety: a revocation is in memory first.
//! - **The document decides**; the change log only says where to look, and a snapshot only spares reading.
//! - **No lock is held across `.await`.** There is one static, in [`cache::global`], and only `keyloft serve` touches it.
//! - Imports point downwards only; `tests/it/tidy.rs` checks it.

pub mod access;
pub mod cache;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod documents;
pub mod error;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod ingest;
mod jitter;
pub mod key;
pub mod keystore;
pub mod layout;
#[cfg(feature = "query")]
pub mod query;
#[cfg(feature = "server")]
pub mod serde_text;
pub mod store;
#[cfg(feature = "server")]
pub mod stream;
pub mod sync;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod usage;

pub use cache::KeyCache;
pub use clock::{Clock, ManualClock, SystemClock};
pub use documents::RequestContext;
pub use error::{Error, ErrorKind, Result};
pub use keystore::Keystore;
pub use store::Bucket;
