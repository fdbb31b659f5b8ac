#!/usr/bin/env bash
# The time from an acknowledged revocation to the refusal on each other node: three `keyloft serve` processes on Ceph
# with the default poll; all keys are revoked on one of them. Prints p50, p99, the maximum, and how many were not refused
# within 10 s. Loopback only; about half a second per revocation. usage: scripts/bench-revocation.sh [REVOCATIONS=250]
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/bench-nodes.sh revocation "$@"
