#!/usr/bin/env bash
# Runs a command with real stores beside it, on free ports of loopback, and stops exactly those afterwards: Ceph
# (KEYLOFT_TEST_CEPH; KEYLOFT_TEST_CEPH_VICTIM and …_PID for tests that pause or kill a gateway), moto
# (KEYLOFT_TEST_MOTO) and Redis (KEYLOFT_TEST_REDIS; see scripts/redis.sh). Each store has a bucket `keyloft`, open to KEYLOFT_TEST_ACCESS_KEY and KEYLOFT_TEST_SECRET_KEY.
#
# usage: scripts/with-stores.sh COMMAND…    such as scripts/with-stores.sh cargo test --features paused-time
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: scripts/with-stores.sh COMMAND…" >&2; exit 2; }
scripts=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-stores.XXXXXX")
command= moto=

stop() {
    trap '' INT TERM HUP
    [ -z "$command" ] || { kill "$command" 2>/dev/null && wait "$command" || true; }
    [ -z "$moto" ] || wait "$moto" || true
    "$scripts/ceph.sh" stop "$work/ceph" || true
    "$scripts/moto.sh" stop "$work/moto" || true
    "$scripts/redis.sh" stop "$work/redis" || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$scripts/moto.sh" start "$work/moto" & moto=$!
"$scripts/redis.sh" start "$work/redis"
"$scripts/ceph.sh" start "$work/ceph"
wait "$moto"
moto=
# shellcheck disable=SC1091
. "$work/ceph/env"
# shellcheck disable=SC1091
. "$work/moto/env"
# shellcheck disable=SC1091
. "$work/redis/env"
export KEYLOFT_TEST_ACCESS_KEY=KEYLOFT KEYLOFT_TEST_SECRET_KEY=KEYLOFTKEYLOFT

# Not in the foreground: bash would wait for its end before it listens to a signal.
"$@" <&0 & command=$!
status=0
wait "$command" || status=$?
command=
exit "$status"
