//! What a credential may do: it gives a [`Permit`] or a [`Denial`]; then limits apply, and a query session opens.
//!
//! 1. [`action`]: the actions of credentials.
//! 2. [`mod@decide`]: the facts, the rules and their order. **The one decision**, pure, for all callers.
//! 3. [`denial`]: why a credential does not allow it.  [`limit`]: the names of limits, and why they do not.
//! 4. [`permit`]: the proof that a credential allows an action, and the one function that gives it.
//! 5. `verification`: the same decision for admins, with the reason.
//! 6. [`session`]: a running query, what it may read, and everything that ends it.
//! 7. `admin_token`: the credential of the admin plane.
//! 8. `limits`: rate limits, in memory or in Redis (feature `server`).

pub(crate) mod action;
#[cfg(feature = "server")]
pub(crate) mod admin_token;
pub(crate) mod decide;
pub(crate) mod denial;
pub(crate) mod limit;
#[cfg(feature = "server")]
pub(crate) mod limits;
pub(crate) mod permit;
pub(crate) mod session;
#[cfg(test)]
mod tests;
#[cfg(feature = "server")]
pub(crate) mod verification;

pub use action::Action;
#[cfg(feature = "server")]
pub use admin_token::AdminDigest;
pub use decide::{ClientAddress, StatedTenant};
pub(crate) use decide::{Decision, Facts, FoundKey, TenantState, View, decide};
pub use denial::Denial;
pub use limit::{Dimension, LimitId, LimitScope, Refusal};
#[cfg(feature = "server")]
pub use limits::Limiter;
#[cfg(feature = "server")]
pub(crate) use permit::recognise;
pub use permit::{Attempt, Permit, authenticate};
#[cfg(feature = "query")]
pub(crate) use session::holder::{OperatorGrant, OperatorRight};
pub use session::{Session, SessionEnd, SessionGuard, SessionId, Sessions, TooManyQueries};
#[cfg(feature = "server")]
pub(crate) use verification::{Question, Verification, verify};
