//! Admission control: request, event and byte rates of a valid key and of its tenant.
//!
//! 1. [`cost`]: the cost of a request, and the limits that apply.
//! 2. [`quota`]: what is left, or the refusal.  [`fields`]: quotas as header fields.
//! 3. [`gcra`]: the algorithm, pure.  `local`: the limits in use, in the memory of this node.
//! 4. `shared`: the same in Redis, for many nodes.
//! 5. [`limiter`]: the front door.
//!
//! **Invariant**: in any window no more than the burst passes, and the rate for each minute of it.
//! **Invariant**: a request that is refused takes nothing. **Invariant**: only a valid key has state here, and
//! only while one of its limits is not full.

pub mod cost;
pub mod fields;
pub mod gcra;
pub mod limiter;
mod local;
pub mod quota;
mod shared;
#[cfg(test)]
mod tests;

pub use cost::{Cost, Costs, LimitCost};
pub use limiter::Limiter;
pub use quota::{Acquisition, Quota, Quotas};
