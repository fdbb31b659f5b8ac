//! What happened: the change log read as an audit, and proof of it. The change log is the record: every change is in it
//! before it is acknowledged.
//!
//! 1. [`record`]: one change, as it is reported.  [`filter`]: which records are wanted.
//! 2. [`recent`]: the newest entries of the log, in memory.  [`walk`]: all entries that there are, the newest first:
//!    from memory, the log and its history.  [`read`]: records out of them.
//! 3. `requests`: those that changed nothing, until they are logged.  `flush`: which is done together.
//! 4. `rows`: the system stream `keyloft_audit`.  `progress`: how far it is.
//! 5. `settings`, `versions`: changes of the settings of streams, and versions of policy sets, that were not logged.
//! 6. [`verify`]: whether all of the record that there is belongs together.

pub mod filter;
mod flush;
mod progress;
pub mod read;
pub mod recent;
pub mod record;
mod requests;
mod rows;
mod settings;
#[cfg(test)]
mod tests;
pub mod verify;
mod versions;
mod walk;

use chrono::TimeDelta;

pub use crate::sync::AuditOutcome;
pub use filter::{AuditFilter, AuditScope};
pub use read::{AuditLog, AuditPage};
pub use record::{AuditId, Record};
pub use rows::AuditRows;
pub use verify::{Verification, verify};

/// A node that lives logs its change within this time, or once the store answers again. What it logs later than another
/// node has found it is a repetition, which says nothing was done.
const PATIENCE: TimeDelta = TimeDelta::minutes(1);
