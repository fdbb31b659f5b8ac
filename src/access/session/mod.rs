//! Query sessions: opened for a permit or for an operator, closed by a guard in the response body, ended by every
//! change that withdraws what they were opened for. Ending a session stops its work and frees its place at once, even
//! when the client does not read the body.
//!
//! 1. [`ending`]: why a session ends.  [`holder`]: for whom it is open, and whether it may go on.
//! 2. [`running`]: a session, and what it may read.
//! 3. [`registry`]: all sessions of a node, and the guard of each.

mod ending;
pub(crate) mod holder;
mod registry;
mod running;
#[cfg(test)]
mod tests;

pub use ending::SessionEnd;
pub use registry::{SessionGuard, Sessions, TooManyQueries};
pub use running::{Session, SessionId};
