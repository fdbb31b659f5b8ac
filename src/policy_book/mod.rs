//! The policy sets of tenants: every version is an object of its own that never changes, and the highest holds.
//!
//! 1. [`document`]: a version as it is stored.
//! 2. [`versions`]: the version in force of every tenant, in memory.
//! 3. [`plan`](mod@plan): what is different between two sets.
//! 4. [`PolicyBook`]: deploying versions, listing them and bringing one back.

pub mod book;
pub mod document;
pub mod plan;
pub mod versions;

pub use book::{Deployed, Making, NewVersion, PolicyBook, Refusal, VersionInfo};
pub use versions::{Version, Versions, entered};
