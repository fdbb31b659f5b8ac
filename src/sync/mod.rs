//! Keeping memory equal to the bucket, and nodes equal to each other.
//!
//! Every change is a document and a numbered entry of the change log that says where to look. Each node asks for the
//! next number once a second. What was changed by hand is found by a full reconcile.
//!
//! 1. [`replica`]: this node's copy of the bucket. **The front door.**
//! 2. [`changed_object`], [`action`], [`log`], [`journal`], `backlog`, `queue`: what changed and what was done, the
//!    numbered entries, this node's position in the log, the entries that are still to be applied, and the changes that
//!    are still to be logged.  [`answer`]: requests that changed nothing, which stand beside the changes.  [`chain`]:
//!    each entry names the one before it.  [`history`]: entries that are kept when the log is trimmed.
//! 3. `read`, `apply`, `tags`: keys and tenants, taken in; which state of each is in memory.  [`held`]: every other
//!    kind of document that nodes hold.
//! 4. [`reconcile`]: list, compare, read; one routine for the start, for repair and for changes made by hand.
//!    `tenant_listing`, `listing`: what it compares.  `found`: what it tells the log.
//! 5. `snapshot`: a compacted copy of all keys, which spares a start its reads.
//! 6. [`node`], [`receipt`]: what each node has applied, and what that proves.
//! 7. [`lookup`]: a key that is not in memory may have been issued elsewhere a moment ago.  `alone`: or cannot have
//!    been.
//! 8. [`settings`]: how often a node does what.  `shared`: work whose outcome many callers share.

pub mod action;
mod alone;
pub mod answer;
mod apply;
mod backlog;
pub mod chain;
pub mod changed_object;
pub(crate) mod found;
pub mod held;
pub mod history;
pub mod journal;
mod listing;
pub mod log;
pub mod lookup;
pub mod node;
mod queue;
mod read;
pub mod receipt;
pub mod reconcile;
pub mod replica;
pub mod settings;
mod shared;
mod snapshot;
mod tags;
mod tenant_listing;
#[cfg(test)]
mod tests;

pub(crate) use crate::jitter::{around, up_to};
pub use action::AuditAction;
pub use answer::Answer;
#[cfg(feature = "server")]
pub use answer::{AnswerTarget, AuditOutcome};
pub use changed_object::{ChangedObject, LoggedChange};
pub use held::{Held, HeldDocuments, HeldKind};
pub use lookup::Lookup;
pub use receipt::Receipt;
pub use reconcile::Counts;
pub use replica::Replica;
pub use settings::SyncSettings;
