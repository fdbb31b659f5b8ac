//! What happens around handlers: each middleware is one `async fn` in one file. Their order is stated in [`super`].
//!
//! - [`observe`]: request id, access log, metrics, and what each key was used for.
//! - [`bounds`]: no request head above 16 KiB; nothing new while shutting down.
//! - [`api_key`]: a credential becomes a permit. Usable in other actix applications.
//! - [`admit`]: the same, held to the networks and limits of its key. Usable in other actix applications.
//! - [`query_session`]: a permit becomes a session, held by the response body. Usable in other actix applications.
//! - [`operator`]: the admin token.

pub mod admit;
pub mod api_key;
pub mod bounds;
pub mod observe;
pub mod operator;
pub mod query_session;
