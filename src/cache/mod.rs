//! All keys of all tenants, in memory.
//!
//! 1. [`key_cache`]: the lock around them, never held across `.await`, and the watchers of changes.
//! 2. `table`: the maps themselves, pure: by digest, by tenant and id, by name.
//! 3. `duplicate_secrets`: keys that share a secret, which are refused.
//! 4. [`global`]: the one static of the crate.

mod duplicate_secrets;
pub mod global;
pub mod key_cache;
mod table;
#[cfg(test)]
mod tests;

pub use key_cache::{CacheChange, KeyCache, NameReservation};
pub use table::UnreadableDocuments;
