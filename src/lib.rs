//! Keyloft: an API-key keystore that lives in a bucket.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod error;
#[cfg(feature = "server")]
pub mod ingest;
pub mod key;
pub mod layout;
#[cfg(feature = "query")]
pub mod query;
pub mod store;
pub mod cache;
pub mod keystore;
pub mod auth;
pub mod sync;
#[cfg(feature = "server")]
pub mod stream;

pub use cache::KeyCache;
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use keystore::Keystore;
pub use store::Bucket;
