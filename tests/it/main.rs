//! Behaviour over real HTTP, one file per behaviour. One binary, because linking is what costs.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)] // Nothing here is anybody's API.

mod support;

mod smoke;
mod tour;
