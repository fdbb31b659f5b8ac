#!/usr/bin/env bash
# Changes per second, issue and PATCH, by 1, 3 and 8 admins at once over three `keyloft serve` processes: on one local
# directory, then on Ceph. Loopback only; twelve times SECONDS_EACH. usage: scripts/bench-writes.sh [SECONDS_EACH=5]
set -euo pipefail
cd "$(dirname "$0")/.."
exec scripts/bench-nodes.sh writes "$@"
