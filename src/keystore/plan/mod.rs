//! The changes that make the keys of a tenant as they are declared. Pure: nothing is changed here.
//!
//! 1. [`step`]: declarations, and the steps of a plan.
//! 2. `diff`: from the one to the other.

mod diff;
pub mod step;
#[cfg(test)]
mod tests;

#[cfg(feature = "server")]
pub use step::DeclaredSecret;
pub use step::{Declared, Plan, Step};
