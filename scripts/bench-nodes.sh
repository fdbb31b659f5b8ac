#!/usr/bin/env bash
# Builds the benchmarks of several nodes (benches/nodes) and runs one of them beside a real object store.
# usage: scripts/bench-nodes.sh revocation|idle|writes [NUMBER...]    by way of the script of its name
set -euo pipefail
cd "$(dirname "$0")/.."
build() { cargo build --quiet --release --locked --bench nodes "$@"; }
build
bench=$(build --message-format json | sed -n 's/.*"executable":"\([^"]*\/nodes-[^"]*\)".*/\1/p' | tail -n 1)
exec scripts/with-stores.sh "$bench" "$@"
