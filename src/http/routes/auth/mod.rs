//! Signing in and out.
//!
//! 1. [`sign_in`]: to a provider and back.  [`flow`]: what the browser keeps meanwhile.  [`page`]: what people see.
//! 2. [`session`]: exchanging a handoff for a token, oneself, signing out, and the public keys.

mod flow;
mod page;
pub mod session;
pub mod sign_in;
