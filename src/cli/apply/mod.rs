//! `keyloft apply`: the keys of a tenant as a file declares them.
//!
//! 1. [`file`](mod@file): `keys.yaml`.
//! 2. `difference`: the plan, shown before it is carried out.
//! 3. `secrets`: new API keys, written to a file before their digests are sent.
//! 4. `run`: all of it, in order.

mod difference;
pub mod file;
mod run;
mod secrets;

pub use run::ApplyArgs;
pub(super) use run::{EXAMPLES, run};
