//! `keyloft key revoke`.

use clap::Args;

use super::super::{ClientArgs, Outcome, output};
use super::show::KeyRef;
use super::wait::WaitArgs;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key revoke checkout
  keyloft key revoke checkout --tenant acme
  keyloft key revoke checkout --wait 5s";

/// Which key, and for whom to wait.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    key: KeyRef,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) fn run(args: &ClientArgs, revoke: &RevokeArgs) -> Outcome {
    let client = args.connect()?;
    let (tenant, id) = (args.tenant(), revoke.key.id(args, &client)?.to_string());
    let path = ["tenants", tenant.as_str(), "apikeys", &id];
    let answer = client.delete(&path, &revoke.wait.parameters())?;
    output::print(&if args.json { output::json(&answer) } else { format!("Key {id} is revoked.") })?;
    match revoke.wait.judge(&answer)? {
        Some(applied) if !args.json => output::print(&applied),
        _ => Ok(()),
    }
}
