//! Keyloft: an API-key keystore that lives in a bucket.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod clock;
pub mod error;
#[cfg(feature = "server")]
pub mod ingest;
pub mod key;
pub mod layout;
pub mod store;
#[cfg(feature = "server")]
pub mod stream;

pub use error::{Error, ErrorKind, Result};
