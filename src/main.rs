//! The `keyloft` command: see [`keyloft::cli`].

use std::process::ExitCode;

use keyloft::cli;

fn main() -> ExitCode {
    cli::run(cli::parse())
}
