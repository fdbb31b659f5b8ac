//! Who is asking, and may they: from a presented credential to a [`Permit`] or a [`Denial`], then to a query session.
//!
//! 1. [`action`]: what a request is about to do, as a type.
//! 2. [`denial`]: every reason to say no.
//! 3. [`permit`]: the proof that a key is good, and the one function that gives it.
//! 4. [`session`]: a running query, what it may read, and everything that ends it.
//! 5. [`operator`]: the admin token.

pub mod action;
pub mod denial;
pub mod operator;
pub mod permit;
pub mod session;

pub use action::{Action, AnyUse, Ingestion, Query};
pub use denial::Denial;
pub use operator::AdminDigest;
pub use permit::{Permit, authenticate, recognise};
pub use session::{Ending, Session, SessionGuard, SessionId, Sessions, TooManyQueries};
