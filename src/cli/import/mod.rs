//! `keyloft import`: keys of other systems.
pub(super) const EXAMPLES: &str = "Examples:
  keyloft import vmauth auth.yml";
use clap::Subcommand;
use super::{ClientArgs, Outcome};
/// Which system.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// vmauth
    Vmauth,
}
pub(super) fn run(_: &ClientArgs, _: ImportCommand) -> Outcome { Ok(()) }
