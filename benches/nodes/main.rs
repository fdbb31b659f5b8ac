//! What several nodes on one store do: real `keyloft serve` processes over loopback, each benchmark with a table at the
//! end. Run by `scripts/bench-revocation.sh`, `scripts/bench-idle.sh` and `scripts/bench-writes.sh`; without the name
//! of one it does nothing. The object store is the one that `scripts/with-stores.sh` has started.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)] // Nothing here is anybody's API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod counting;
mod fleet;
mod idle;
mod revocation;
mod statistics;
mod writes;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` and clippy run benches with other arguments.
    let Some(name) = arguments.iter().find(|argument| !argument.starts_with("--")) else { return };
    let number = |at: usize, or: u64| {
        arguments.get(at).map_or(or, |text| text.parse().unwrap_or_else(|_| panic!("{text} is no number")))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match name.as_str() {
        "revocation" => runtime.block_on(revocation::run(number(1, 250))),
        "idle" => runtime.block_on(idle::run(number(1, 5), number(2, 1000))),
        "writes" => runtime.block_on(writes::run(number(1, 5))),
        _ => panic!("there is no benchmark {name}: revocation, idle or writes"),
    }
}
