//! Keyloft: an API-key keystore that lives in a bucket.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod error;
pub mod clock;
pub mod key;
pub mod layout;

pub use error::{Error, ErrorKind, Result};
