#!/usr/bin/env bash
# What the age and the history of a stream cost a query. Prints medians of ROUNDS turns (default 31) and ratios.
#
# 1. count(*), and groups, over OBJECTS events (default 100,000) that came as one object each, after they were merged,
#    beside the same events that came together: as long as the objects that were replaced are listed, and after they
#    went. Both have as many objects.
# 2. The last five minutes of a stream that has 29 days more, beside a stream that has only them.
#
# A directory, loopback only. With 100,000 objects it takes about a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
provide_wrk
objects=${OBJECTS:-100000}; rounds=${ROUNDS:-31}

keyloft=$(keyloft_program)
work=$(mktemp -d); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT
echo "$(build_and_machine "$keyloft")"

# One request at a time, each of one event: each is an object of its own.
start_keyloft "$work" "$work/store" --log-filter warn --compaction-interval 0s --ingest-window 1ms
KEYLOFT_INGESTION_KEY=$(issue writer ingestion) KEYLOFT_QUERY_KEY=$(issue reader query)
export KEYLOFT_INGESTION_KEY KEYLOFT_QUERY_KEY
head -n 1 fixtures/events/earthquakes.ndjson >"$work/event"
cat >"$work/load.lua" <<LUA
local file = io.open("$work/event"); wrk.body = file:read("*a"); file:close()
wrk.method = "POST"
wrk.headers["X-API-KEY"] = "$KEYLOFT_INGESTION_KEY"; wrk.headers["X-P-Stream"] = "many"
wrk.headers["Content-Type"] = "application/x-ndjson"
LUA
stored() { find "$work/store/streams/many" -name '*.parquet' 2>/dev/null | wc -l; }
began=$SECONDS
while [ "$(stored)" -lt "$objects" ]; do
    wrk -t 1 -c 1 -d 10s -s "$work/load.lua" "$KEYLOFT_URL/api/v1/ingest" >"$work/result"
    if grep -q 'Non-2xx' "$work/result"; then cat "$work/result"; exit 1; fi
done
made=$(stored)
echo "$made objects written in $((SECONDS - began)) s"
stop_keyloft

start_keyloft "$work" "$work/store" --log-filter warn --compaction-interval 1s --query-max-objects 0 \
    --session-ttl 5s
export KEYLOFT_DIRECTORY="$work/store"
python3 scripts/bench-streams.py "$made" "$rounds"
