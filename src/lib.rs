//! Keyloft: an API-key keystore that lives in a bucket.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod clock;
pub mod error;
pub mod key;
pub mod layout;
#[cfg(feature = "query")]
pub mod query;
pub mod store;
#[cfg(feature = "server")]
pub mod stream;

pub use error::{Error, ErrorKind, Result};
