//! Proof of what happened. The change log is the record: every change is in it before it is acknowledged.
//!
//! - [`verify`]: whether all of the record that there is belongs together.

pub mod verify;

pub use verify::{Verification, verify};
