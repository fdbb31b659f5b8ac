//! `keyloft audit`.
//!
//! - `command`: its commands, and whether the change log is what was written.  `records`: what it says.

mod command;
mod records;

pub(super) use command::{AuditCommand, EXAMPLES, run};
