//! What has to be done to the keys of a tenant so that they are as somebody says. Pure: nothing is changed here.
//!
//! 1. [`step`]: declarations, and the steps of a plan.
//! 2. `shape`: from the one to the other.

mod shape;
pub mod step;
#[cfg(test)]
mod tests;

pub use step::{Alteration, Declared, DeclaredSecret, Plan, Step};
