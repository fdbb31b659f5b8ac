#!/usr/bin/env bash
# Builds the benchmarks of several nodes (benches/nodes) and runs one of them beside a real object store.
# usage: scripts/bench-nodes.sh revocation|idle|writes [NUMBER...]    by way of the script of its name
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
bench=$(built nodes --release --bench nodes)
exec scripts/with-stores.sh "$bench" "$@"
