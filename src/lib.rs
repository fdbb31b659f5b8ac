//! Keyloft: an API-key keystore that lives in a bucket.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
pub mod error;
pub mod key;
pub mod layout;
pub mod store;
#[cfg(feature = "server")]
pub mod stream;

pub use error::{Error, ErrorKind, Result};
