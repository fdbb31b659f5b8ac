#!/usr/bin/env bash
# The cost of an idle node: its requests to the object store (Ceph, behind a counting proxy) by kind, per hour and per
# month of 30 days, at the list prices of S3. Loopback only.
# usage: scripts/bench-idle.sh [MINUTES=5] [KEYS=1000]
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/bench-nodes.sh idle "$@"
