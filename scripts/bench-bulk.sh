#!/usr/bin/env bash
# Bulk work: issue KEYS keys from a file, ask for the same again, and revoke all of them, by the command line against one
# server; on a local directory, and on S3 when scripts/with-stores.sh started one. Prints seconds, keys per second and the
# number of entries of the change log. Loopback only; the directory is removed afterwards, what is written to S3 stays.
#
# usage: scripts/bench-bulk.sh [KEYS=10000]
#        scripts/with-stores.sh scripts/bench-bulk.sh [KEYS=10000]
set -euo pipefail
cd "$(dirname "$0")/.."
keys=${1:-10000}

if [ -z "${KEYLOFT_BENCH_BINARY:-}" ]; then
    cargo build --quiet --locked --release
    keyloft=$(cargo build --quiet --locked --release --message-format json | sed -n 's/.*"executable":"\([^"]*keyloft\)".*/\1/p' | tail -n 1)
else
    keyloft=$KEYLOFT_BENCH_BINARY
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-bulk.XXXXXX"); server=
stop() { [ -z "$server" ] || { kill "$server"; wait "$server" || true; server=; }; }
trap 'stop; rm -rf "$work"' EXIT
export KEYLOFT_ADMIN_TOKEN=bench-0123456789abcdef0123456789abcdef

seq "$keys" | awk '{ printf "{\"op\":\"issue\",\"keyName\":\"k-%d\",\"keyType\":\"ingestion\",\"sourceId\":\"bench\"}\n", $1 }' >"$work/keys.ndjson"

# timed STORE WHAT COMMAND...: a row of the table; the last line of the answer holds the number of the last entry.
timed() {
    local store=$1 what=$2 began ended seq entries
    shift 2
    began=$(date +%s.%N)
    "$keyloft" key "$@" --json >"$work/answer"
    ended=$(date +%s.%N)
    seq=$(tail -n 1 "$work/answer" | sed -n 's/.*"changeSeq":\([0-9]*\).*/\1/p')
    entries=$((seq - last)); last=$seq
    awk -v store="$store" -v what="$what" -v keys="$keys" -v seconds="$(echo "$ended $began" | awk '{ print $1 - $2 }')" -v entries="$entries" \
        'BEGIN { printf "%-9s  %-6s  %7d  %8.2f  %8.0f  %7d\n", store, what, keys, seconds, keys / seconds, entries }'
}

# run STORE URL
run() {
    last=0
    rm -f "$work/keys.ndjson.secrets" "$work/greeting"
    "$keyloft" serve --listen 127.0.0.1:0 --store "$2" --log-filter warn >"$work/greeting" & server=$!
    until grep -q 'http://' "$work/greeting"; do sleep 0.1; kill -0 "$server"; done
    KEYLOFT_URL=$(grep -o 'http://[0-9.:]*' "$work/greeting" | head -n 1); export KEYLOFT_URL
    until curl -fs "$KEYLOFT_URL/api/v1/readiness" >/dev/null; do sleep 0.1; done
    timed "$1" issue bulk "$work/keys.ndjson"
    timed "$1" again bulk "$work/keys.ndjson"
    timed "$1" revoke revoke --source-id bench --yes
    stop
}

printf '%-9s  %-6s  %7s  %8s  %8s  %7s\n' store what keys seconds keys/s entries
run directory "$work/store"
if [ -z "${KEYLOFT_TEST_CEPH:-}" ]; then
    echo "s3: not run, scripts/with-stores.sh did not start one"
    exit
fi
export AWS_ENDPOINT_URL="$KEYLOFT_TEST_CEPH" AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
export AWS_ACCESS_KEY_ID="$KEYLOFT_TEST_ACCESS_KEY" AWS_SECRET_ACCESS_KEY="$KEYLOFT_TEST_SECRET_KEY"
run ceph "s3://keyloft/bulk-$$-$RANDOM"
