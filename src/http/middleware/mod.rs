//! What happens around handlers: each middleware is one `async fn` in one file. Their order is stated in [`super`].
//!
//! - [`observe`]: request id, access log, metrics, and what each key was used for.
//! - [`local`]: with authentication off, nothing from other machines.
//! - [`bounds`]: no request head above 16 KiB; nothing new while shutting down.
//! - [`cors`]: pages of allowed origins may use the data plane.
//!
//! For other actix applications:
//!
//! - [`api_key`]: a credential becomes a permit, held to the networks and limits of its key.
//! - [`query_session`]: a permit becomes a session, held by the response body.

pub mod api_key;
pub(crate) mod bounds;
pub(crate) mod cors;
pub(crate) mod local;
pub(crate) mod observe;
pub mod query_session;
