//! The `keyloft` command.

use std::process::ExitCode;

/// The allocator of glibc keeps what a thread has freed for the threads of its arena, and for ever: decoded bodies of
/// events, and merges, would add up to several times what is in use.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    keyloft::main()
}
