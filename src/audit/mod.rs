//! What happened: the change log read as an audit, and proof of it. The change log is the record: every change is in it
//! before it is acknowledged.
//!
//! 1. [`record`]: one change, as it is reported.  [`filter`]: which records are wanted.
//! 2. [`recent`]: the newest entries of the log, in memory.  [`walk`]: all entries that there are, the newest first:
//!    from memory, the log and its history.  [`read`]: records out of them.
//! 3. [`verify`]: whether all of the record that there is belongs together.

pub mod filter;
pub mod read;
pub mod recent;
pub mod record;
#[cfg(test)]
mod tests;
pub mod verify;
mod walk;

pub use filter::{AuditFilter, AuditScope};
pub use read::{AuditLog, AuditPage};
pub use record::{AuditId, AuditOutcome, Record};
pub use verify::{Verification, verify};
