#!/usr/bin/env bash
# What an admission by limits costs, in memory and through a real Redis on loopback: how many a second, p50 and p99, with 1,
# 8 and 32 at once; and how many took longer than a server waits by default. usage: scripts/bench-redis.sh
set -euo pipefail
cd "$(dirname "$0")/.."
build() { cargo build --quiet --release --locked --no-default-features --features server --bench limits "$@"; }
build
bench=$(build --message-format json | sed -n 's/.*"executable":"\([^"]*\/limits-[^"]*\)".*/\1/p' | tail -n 1)
work=$(mktemp -d)
trap 'scripts/redis.sh stop "$work"; rm -rf "$work"' EXIT
scripts/redis.sh start "$work"
# shellcheck disable=SC1091
. "$work/env"
"$bench" admissions
