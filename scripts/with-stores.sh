#!/usr/bin/env bash
# Starts real stores on free ports of loopback, runs a command, and stops those stores:
# - Ceph: KEYLOFT_TEST_CEPH, and KEYLOFT_TEST_CEPH_VICTIM with …_PID, a gateway that tests may pause or kill;
# - moto: KEYLOFT_TEST_MOTO;
# - Redis: KEYLOFT_TEST_REDIS, see scripts/redis.sh;
# - an identity provider: KEYLOFT_TEST_OIDC is its issuer, see scripts/oidc.sh;
# - a browser: KEYLOFT_TEST_BROWSER is its driver, see scripts/browser.sh;
# - a client of ALTCHA, which solves challenges: KEYLOFT_TEST_ALTCHA, see scripts/altcha.sh;
# - DuckDB, which answers are compared with: KEYLOFT_TEST_DUCKDB is a Python that has it, see scripts/duckdb.sh.
# Ceph and moto have a bucket `keyloft`, accessible with KEYLOFT_TEST_ACCESS_KEY and KEYLOFT_TEST_SECRET_KEY.
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
    "$scripts/oidc.sh" stop "$work/oidc" || true
    "$scripts/browser.sh" stop "$work/browser" || true
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$scripts/moto.sh" start "$work/moto" & moto=$!
"$scripts/redis.sh" start "$work/redis"
"$scripts/oidc.sh" start "$work/oidc"
"$scripts/browser.sh" start "$work/browser"
"$scripts/ceph.sh" start "$work/ceph"
wait "$moto"
moto=
"$scripts/duckdb.sh" "$work/duckdb"
"$scripts/altcha.sh" "$work/altcha"
# shellcheck disable=SC1091
. "$work/duckdb/env"
# shellcheck disable=SC1091
. "$work/altcha/env"
# shellcheck disable=SC1091
. "$work/browser/env"
# shellcheck disable=SC1091
. "$work/ceph/env"
# shellcheck disable=SC1091
. "$work/moto/env"
# shellcheck disable=SC1091
. "$work/redis/env"
# shellcheck disable=SC1091
. "$work/oidc/env"
export KEYLOFT_TEST_ACCESS_KEY=KEYLOFT KEYLOFT_TEST_SECRET_KEY=KEYLOFTKEYLOFT

# In the background, because bash handles signals only after a foreground command has ended.
"$@" <&0 & command=$!
status=0
wait "$command" || status=$?
command=
exit "$status"
