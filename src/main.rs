//! The `keyloft` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    keyloft::main()
}
