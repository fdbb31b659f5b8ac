//! `keyloft key`: the life of an API key.
//!
//! 1. [`create`]: issue one; it is shown once.
//! 2. [`list`], [`show`]: keys and their settings.
//! 3. [`update`], [`rotate`], [`revoke`]: change one, give it a new secret, end one or many.  [`bulk`]: many from a
//!    file.
//! 4. [`settings`]: the settings of a key as they are typed.
//! 5. [`wait`]: until every node has applied a change.
//! 6. [`offline`]: make and check keys without a server.  [`hash`]: hashes of other systems.

pub mod bulk;
pub mod create;
pub mod hash;
pub mod list;
pub mod offline;
pub mod revoke;
pub mod rotate;
pub mod settings;
pub mod show;
pub mod update;
pub mod wait;

use clap::Subcommand;

use super::{ClientArgs, Outcome};

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key create --name checkout --type ingestion
  keyloft key list
  keyloft key revoke checkout";

/// The commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Issue an API key and show it, this one time
    #[command(after_help = create::EXAMPLES)]
    Create(create::IssueArgs),
    /// List keys; revoked ones only with --state revoked
    #[command(after_help = list::EXAMPLES)]
    List(list::ListArgs),
    /// Show one key, without its secret
    #[command(after_help = show::EXAMPLES)]
    Show(show::KeyRef),
    /// Change what a key may do, or disable it for a while
    #[command(after_help = update::EXAMPLES)]
    Update(update::UpdateArgs),
    /// Give a key a new API key and show it, this one time; the old one keeps working for a while
    #[command(after_help = rotate::EXAMPLES)]
    Rotate(rotate::RotateArgs),
    /// Revoke a key for ever, or all that a filter selects; it is refused from the next request on, and its name is
    /// free again
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::RevokeArgs),
    /// Issue, change and revoke many keys from a file
    #[command(after_help = bulk::EXAMPLES)]
    Bulk(bulk::BulkArgs),
    /// Make an API key and its document offline, to be put into the store by other means
    #[command(after_help = offline::GENERATE_EXAMPLES)]
    Generate(create::CreateArgs),
    /// Check whether the API key on standard input belongs to a digest, or to a scrypt hash of another system, offline
    #[command(after_help = offline::VALIDATE_EXAMPLES)]
    Validate(offline::ValidateArgs),
}

/// Runs one of them.
pub(super) fn run(args: &ClientArgs, command: KeyCommand) -> Outcome {
    match command {
        KeyCommand::Create(issue) => create::run(args, &issue),
        KeyCommand::List(list) => list::run(args, &list),
        KeyCommand::Show(key) => show::run(args, &key),
        KeyCommand::Update(update) => update::run(args, &update),
        KeyCommand::Rotate(rotate) => rotate::run(args, &rotate),
        KeyCommand::Revoke(revoke) => revoke::run(args, &revoke),
        KeyCommand::Bulk(bulk) => bulk::run(args, &bulk),
        KeyCommand::Generate(create) => offline::generate(args, create),
        KeyCommand::Validate(validate) => offline::validate(args, &validate),
    }
}
