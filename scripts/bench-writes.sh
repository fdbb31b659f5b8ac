#!/usr/bin/env bash
# Changes per second (issue, PATCH) by 1, 3 and 8 concurrent admins over three `keyloft serve` processes, on a local
# directory and on Ceph. Loopback only; takes twelve times SECONDS_EACH. usage: scripts/bench-writes.sh [SECONDS_EACH=5]
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/bench-nodes.sh writes "$@"
