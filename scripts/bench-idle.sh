#!/usr/bin/env bash
# What a node costs that nobody uses: its requests to the object store (Ceph, behind a counting proxy) by kind, for an
# hour and for a month of 30 days, at the list prices of S3. Loopback only.
# usage: scripts/bench-idle.sh [MINUTES=5] [KEYS=1000]
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/bench-nodes.sh idle "$@"
