#!/usr/bin/env bash
# Many histories of a stream (tests/it/streams/history): three nodes that ingest, merge, delete and answer while they are
# killed and stopped and their store fails. Half of them share a directory, half Ceph. Prints what came of them, and
# each that broke a promise with all that led to it; `KEYLOFT_HISTORY_SEED=n` repeats one. Loopback only.
# KEYLOFT_TEST_BINARY names the server to test, such as a release build; without it, it is the one of the tests.
# KEYLOFT_HISTORY_AT_ONCE (3) says how many of each half run at once, KEYLOFT_HISTORY_MS (4500) how long things go wrong,
# KEYLOFT_HISTORY_STOP_MS (2500) how long a node is stopped at most.
# usage: scripts/stream-histories.sh [COUNT=1000] [FIRST=1]
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-1000} first=${2:-1} start=$SECONDS status=0
# Stores that run already, for example under scripts/with-stores.sh, serve this too.
with=(scripts/with-stores.sh)
if [ -n "${KEYLOFT_TEST_CEPH:-}" ]; then with=(); fi
if [ -n "${KEYLOFT_TEST_BINARY:-}" ]; then
    KEYLOFT_TEST_BINARY=$(realpath "$KEYLOFT_TEST_BINARY")
    export KEYLOFT_TEST_BINARY
    "$KEYLOFT_TEST_BINARY" --version
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
RUST_BACKTRACE=0 KEYLOFT_HISTORY_FROM=$first KEYLOFT_HISTORY_SEEDS=$(((count + 1) / 2)) \
    "${with[@]}" cargo test --locked --features paused-time --test it -- --nocapture \
    streams::history::no_acknowledged_event 2>&1 | tee "$log" | grep -vE '^(test|running) |^$' || status=$?
broken=$(grep -c '^KEYLOFT_HISTORY_SEED=' "$log" || true)
done=$(sed -nE 's/.*: ([0-9]+) histories from seed .*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
echo "$done of $count histories in $((SECONDS - start)) s, $broken reports of broken promises"
grep -q '^test result: ok' "$log" && [ "$done" -ge "$count" ] || exit 1
exit "$status"
