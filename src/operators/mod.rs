//! Who may administer: roles, and machines with tokens of their own. No HTTP.
//!
//! 1. [`role`]: what each role may do, and where.
//! 2. [`machine`]: the document of a machine.  [`machines`]: making, changing and recognising them.

pub mod machine;
pub mod machines;
pub mod role;

pub use machine::Machine;
pub use machines::{MachinePatch, Machines, NewMachine};
pub use role::{Permission, Role, Scope};
