//! Active mitigations: whom a policy holds, until when, on all nodes.
//!
//! An entity that crosses a window is held by the node that saw it, at once and from memory. Each node shares whom it
//! holds through a chain of its own in the bucket, beside the change log, so that an attack delays no revocation.
//!
//! 1. [`hold`]: one of them.  [`memory`]: all of them, bounded.
//! 2. [`entry`]: what nodes share.  [`chain`]: the numbered objects that hold it.
//! 3. [`Mitigations`]: who is held. **The front door.**
//! 4. [`position`]: the place of this node in the chain.  `reading`: reading on.  `load`: reading from a list.
//!    `append`: writing.  `tidy`: removing what has expired.  `follow`: all that, as it runs.
//! 5. `release`: letting somebody go, everywhere.  `logged`: what the change log has to do with it.

pub mod active;
mod append;
pub mod chain;
pub mod entry;
mod follow;
pub mod hold;
mod load;
mod logged;
pub mod memory;
pub mod position;
mod reading;
mod release;
#[cfg(test)]
mod tests;
mod tidy;

pub use active::Mitigations;
pub use hold::{Hold, HoldKey};
