//! Tokens of identity providers: the only place that names `jsonwebtoken`. Its part is the signature; claims and times
//! are judged here, by a clock that is an argument.
//!
//! 1. [`crypto`]: the signatures that are accepted, checked by `ring`.
//! 2. [`keys`]: the public keys of a provider.
//! 3. [`id_token`]: who an ID token says that somebody is.

mod crypto;
pub mod id_token;
pub mod keys;
#[cfg(test)]
mod tests;

pub use id_token::{Claims, Expected, Refusal};
pub use keys::KeySet;
