//! Windows that all nodes count together, in Redis. The engine stays synchronous: what an event will ask its windows is
//! found out first, Redis is asked all of it at once, and then the decision is made with the answers.
//!
//! 1. [`asks`]: what an event asks its windows.
//! 2. [`windows`]: the windows in Redis, which one script counts (`windows.lua`).
//! 3. [`counted`]: its answers, beside the windows of this node.
//! 4. [`counting`]: when a decider asks.
//!
//! **Invariant**: this node counts every event itself, too, so that it knows its own part when Redis is away.
//! **Invariant**: nothing in Redis can be read back: keys are pseudonyms, values are times and hashes.

pub mod asks;
pub mod counted;
mod counting;
pub mod windows;

pub use asks::{Ask, What};
pub use counted::{Counted, Counts};
pub use windows::SharedWindows;
