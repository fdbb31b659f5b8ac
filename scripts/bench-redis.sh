#!/usr/bin/env bash
# What an admission by limits costs, in memory and through a real Redis on loopback, and what the windows of a decision
# cost there: how many a second, p50 and p99, with 1, 8 and 32 at once; and how many took longer than a server waits by
# default. usage: scripts/bench-redis.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
bench=$(built limits --release --no-default-features --features server --bench limits)
work=$(mktemp -d)
trap 'scripts/redis.sh stop "$work"; rm -rf "$work"' EXIT
scripts/redis.sh start "$work"
# shellcheck disable=SC1091
. "$work/env"
"$bench" admissions
