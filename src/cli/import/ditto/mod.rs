//! `keyloft import ditto`: the identities that the configuration of a Ditto Edge Server declares.
//!
//! 1. `config`: the identities of the file, and why others cannot be imported.
//! 2. `secrets`: the secrets on standard input, checked against the hashes of the file.
//! 3. `run`: all of it, in order.

mod config;
mod run;
mod secrets;

pub use run::DittoArgs;
pub(super) use run::{EXAMPLES, run};
