#!/usr/bin/env bash
# Feeds hostile input to what reads what others write (fuzz/fuzz_targets), by libFuzzer with the address sanitizer: each
# target for SECONDS (default 60), on one core. A failure is kept in fuzz/artifacts, and the script ends with it; it
# becomes a test. What was found to be new ways through the code is kept in fuzz/corpus, where the next run begins.
#
# usage: scripts/fuzz.sh [SECONDS [TARGET…]]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
seconds=${1:-60}
[ $# = 0 ] || shift
targets=("$@"); [ ${#targets[@]} -gt 0 ] || targets=(tokens parse check event log)

fuzz_version=0.13.2
cargo_fuzz="$keyloft_cache/cargo-fuzz/bin/cargo-fuzz"
fetch_fuzz() {
    CARGO_TARGET_DIR="$1/target" cargo install cargo-fuzz --locked --version "$fuzz_version" --root "$1" --force
    rm -rf "$1/target"
}
fuzz_runs() { "$1/bin/cargo-fuzz" --version; }
provide cargo-fuzz "$fuzz_version" fuzz_runs fetch_fuzz

# The sanitizer needs an unstable option of the compiler; the toolchain stays the one of the project.
export RUSTC_BOOTSTRAP=1
# The versions that the project is built with.
cp Cargo.lock fuzz/Cargo.lock
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target"
    [ ! -d "fuzz/seeds/$target" ] || cp -n "fuzz/seeds/$target"/* "fuzz/corpus/$target"
    "$cargo_fuzz" fuzz run "$target" -- -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
