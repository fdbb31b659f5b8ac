//! Whether a good key may be used now, from there, and that much: a request is admitted, or gets a [`Refusal`].
//!
//! 1. [`policy`]: what is counted, and for whom.
//! 2. [`charge`]: what a request takes, and the limits that it meets.
//! 3. [`refusal`]: every reason to say no.
//! 4. [`quota`]: what is left.  [`fields`]: the same as header fields.
//! 5. [`networks`]: where a key may be used from.
//! 6. `bucket`: one limit of one subject.  `local`: all of them, in the memory of this node.
//! 7. `shared`: the same in Redis, for many nodes.
//! 8. [`limiter`]: the front door.
//!
//! **Invariant**: whatever window one looks at, no more than the burst passes, and the rate for each minute of it.
//! **Invariant**: a request that is refused takes nothing. **Invariant**: only a key that is good makes state here, and
//! only while it has a limit that is not full.

mod bucket;
pub mod charge;
pub mod fields;
pub mod limiter;
mod local;
pub mod networks;
pub mod policy;
pub mod quota;
pub mod refusal;
mod shared;
#[cfg(test)]
mod tests;

pub use charge::{Charge, Charges, Load};
pub use limiter::{Decision, Limiter};
pub use policy::{Holder, Kind, Policy};
pub use quota::{Quota, Quotas};
pub use refusal::Refusal;
