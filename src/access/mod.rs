//! What a credential may do: from what was presented to a [`Permit`] or a [`Denial`], held to limits, then to a query
//! session.
//!
//! 1. [`action`]: what a request is about to do.
//! 2. [`mod@decide`]: the facts, the rules and their order. **The one decision**, pure, whoever asks.
//! 3. [`denial`]: every reason why a credential does not allow it.  [`refusal`]: why its limits do not.  [`limit`]: the
//!    names of limits.
//! 4. [`permit`]: the proof that a credential allows an action, and the one function that gives it.
//! 5. [`verification`]: the same decision for admins, who may know the reason.
//! 6. [`session`]: a running query, what it may read, and everything that ends it.
//! 7. [`admin_token`]: what opens the admin plane.
//! 8. `limits`: how much of a key may be used, in memory or in Redis (feature `server`).

pub mod action;
pub mod admin_token;
pub mod decide;
pub mod denial;
pub mod limit;
#[cfg(feature = "server")]
pub mod limits;
pub mod permit;
pub mod refusal;
pub mod session;
#[cfg(test)]
mod tests;
pub mod verification;

pub use action::Action;
pub use admin_token::AdminDigest;
pub use decide::{ClientAddress, Decision, Facts, Found, StatedTenant, TenantState, View, decide};
pub use denial::Denial;
pub use limit::{Dimension, LimitId, Scope};
pub use permit::{Attempt, Permit, authenticate, recognise};
pub use refusal::Refusal;
pub use session::{Session, SessionEnd, SessionGuard, SessionId, Sessions, TooManyQueries};
pub use verification::{Question, Verification, verify};
