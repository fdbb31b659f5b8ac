//! `keyloft serve`: the boot sequence, top to bottom.

use super::{Failure, Outcome, ServeArgs};

pub(super) const ABOUT: &str = "Run a server.

It keeps everything in the store: keys, tenants and events. Every option can be a flag, an
environment variable or a line of a TOML file; flags win over the environment, and the
environment over the file.

Examples:
  keyloft serve
  keyloft serve --store s3://bucket/prefix --listen 0.0.0.0:8000
  keyloft serve --config keyloft.toml --log-format json";

/// Runs a server until it is told to stop.
pub(super) fn run(args: ServeArgs) -> Outcome {
    args.load()?;
    Err(Failure::failed("the server is not built yet"))
}
