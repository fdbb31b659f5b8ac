//! Challenges: work that a client does once, and what it shows afterwards. Pure: no HTTP, no store, no clock; the time,
//! randomness and the secret are arguments, and nothing is remembered of any client.
//!
//! 1. [`keys`]: the keys of a tenant, from the secret of the installation.
//! 2. [`puzzle`]: a challenge in the format of ALTCHA v2, and whether it is solved.
//! 3. [`clearance`]: what a client is given for it.  [`binding`]: to whom.
//! 4. [`shown`]: the clearances that an event shows.
//! 5. [`return_path`]: where the client goes on.  [`page`]: what a browser is shown.

pub mod binding;
pub mod clearance;
mod hex;
pub mod keys;
pub mod page;
pub mod puzzle;
pub mod return_path;
pub mod shown;

#[cfg(test)]
mod tests;

pub use clearance::ClearanceToken;
pub use keys::Keys;
pub use puzzle::{Challenge, Order, Refused, Solution, Verified};

/// Where challenges are shown and solved: on the host of the protected application, which passes this path on.
pub const PATH: &str = "/.keyloft/challenge";
/// By how much the clocks of two nodes may differ, in seconds.
pub const SKEW_SECONDS: i64 = 60;
