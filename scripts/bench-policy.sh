#!/usr/bin/env bash
# What a decision of traffic policies costs in process, and what a flood of clients that come once does to it.
# usage: scripts/bench-policy.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
bench=$(built policy --release --bench policy)
exec "$bench" decisions
