//! Changing documents: who asks for a change, and how it is made.
//!
//! 1. [`context`]: who asks, by which request, from where and when.

pub mod context;

pub use context::RequestContext;
