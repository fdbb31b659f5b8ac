#!/usr/bin/env bash
# Durable ingest: events per second over HTTP, in batches of 1,000 events of about 270 bytes, each batch acknowledged
# only after it is in a synced file. Loopback only, SECONDS_EACH seconds (default 10) over CONNECTIONS connections
# (default 32).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
provide_wrk
seconds=${SECONDS_EACH:-10}; connections=${CONNECTIONS:-32}

keyloft=$(keyloft_program)
work=$(mktemp -d); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT
start_keyloft "$work" "$work/store" --log-filter warn
key=$(issue bench ingestion)

head -n 1000 fixtures/events/earthquakes.ndjson >"$work/batch"
bytes=$(($(wc -c <"$work/batch") / 1000))
cat >"$work/load.lua" <<LUA
local file = io.open("$work/batch"); local body = file:read("*a"); file:close()
wrk.method = "POST"; wrk.body = body
wrk.headers["X-API-KEY"] = "$key"; wrk.headers["X-P-Stream"] = "bench"; wrk.headers["Content-Type"] = "application/x-ndjson"
LUA
wrk -t 1 -c "$connections" -d "${seconds}s" --latency -s "$work/load.lua" "$KEYLOFT_URL/api/v1/ingest" >"$work/result"
if grep -q 'Non-2xx' "$work/result"; then cat "$work/result"; exit 1; fi
awk -v bytes="$bytes" '$1 == "99%" { p99 = $2 } $1 == "Requests/sec:" { rps = $2 }
    END { printf "%d events/s of %d bytes in batches of 1000, durable; p99 of a batch %s\n", rps * 1000, bytes, p99 }' "$work/result"
printf '%s objects, %s on disk\n' "$(find "$work/store" -name '*.parquet' | wc -l)" "$(du -sh "$work/store" | cut -f1)"
