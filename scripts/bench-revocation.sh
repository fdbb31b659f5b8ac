#!/usr/bin/env bash
# From an acknowledged revocation to the refusal on every other node: three `keyloft serve` processes on Ceph with the
# default poll, all keys revoked on one of them. Prints p50, p99, the maximum, and how many were missed (10 s). Loopback
# only; about half a second for each revocation. usage: scripts/bench-revocation.sh [REVOCATIONS=250]
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/bench-nodes.sh revocation "$@"
