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

# shellcheck source=scripts/lib.sh
. scripts/lib.sh
keyloft=$(keyloft_program)
work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-bulk.XXXXXX"); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT

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
    rm -f "$work/keys.ndjson.secrets"
    start_keyloft "$work" "$2" --log-filter warn
    timed "$1" issue bulk "$work/keys.ndjson"
    timed "$1" again bulk "$work/keys.ndjson"
    timed "$1" revoke revoke --source-id bench --yes
    stop_keyloft
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
