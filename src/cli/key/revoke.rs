//! `keyloft key revoke`.

use super::super::{ClientArgs, Outcome, output};
use super::show::KeyRef;

pub(super) const EXAMPLES: &str = "Examples:
  keyloft key revoke checkout
  keyloft key revoke checkout --tenant acme";

pub(super) fn run(args: &ClientArgs, key: &KeyRef) -> Outcome {
    let client = args.connect()?;
    let id = key.id(args, &client)?;
    let answer = client.delete(&["tenants", args.tenant().as_str(), "apikeys", &id.to_string()])?;
    output::print(&if args.json { output::json(&answer) } else { format!("Key {id} is revoked.") })
}
