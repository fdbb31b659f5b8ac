#!/usr/bin/env bash
# What SQL over HTTP costs beside the rows: small queries over 1,707 events, each on a connection that is kept, one at a
# time and as many at once as this machine has cores. Loopback only, SECONDS_EACH seconds (default 5) each.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
provide_wrk
seconds=${SECONDS_EACH:-5}

keyloft=$(keyloft_program)
build_and_machine "$keyloft"
work=$(mktemp -d); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT
start_keyloft "$work" "$work/store" --log-filter warn
curl -fsS "$KEYLOFT_URL/api/v1/ingest" -H "X-API-KEY: $(issue writer ingestion)" -H 'X-P-Stream: earthquakes' \
    -H 'Content-Type: application/x-ndjson' --data-binary @fixtures/events/earthquakes.ndjson >/dev/null
key=$(issue reader query)

# ask NAME SQL
ask() {
    cat >"$work/load.lua" <<LUA
wrk.method = "POST"; wrk.body = '{"query": "$2"}'
wrk.headers["X-API-KEY"] = "$key"; wrk.headers["Content-Type"] = "application/json"
LUA
    for connections in 1 "$(nproc)"; do
        wrk -t 1 -c "$connections" -d "${seconds}s" --latency -s "$work/load.lua" "$KEYLOFT_URL/api/v1/query" >"$work/result"
        if grep -q 'Non-2xx' "$work/result"; then cat "$work/result"; exit 1; fi
        awk -v name="$1" -v connections="$connections" '
            $1 == "50%" { p50 = $2 } $1 == "99%" { p99 = $2 } $1 == "Requests/sec:" { rps = $2 }
            END { printf "%-7s %7s %10.0f %9s %9s\n", name, connections, rps, p50, p99 }' "$work/result"
    done
}

printf '%-7s %7s %10s %9s %9s\n' query "at once" queries/s p50 p99
ask one 'SELECT 1 AS one'
ask count 'SELECT count(*) AS n FROM earthquakes'
ask groups 'SELECT magnitude_type, count(*) AS n, avg(magnitude) AS mean FROM earthquakes WHERE magnitude > 2 GROUP BY magnitude_type ORDER BY n DESC LIMIT 5'
