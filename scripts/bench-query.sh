#!/usr/bin/env bash
# What SQL over HTTP costs beside the rows: small queries over 1,707 events, each on a connection that is kept, one at a
# time and as many at once as this machine has cores. Loopback only, SECONDS_EACH seconds (default 5) each. Needs wrk
# (apt-get install wrk).
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
seconds=${SECONDS_EACH:-5}

cargo build --quiet --release
keyloft=$(cargo build --quiet --release --message-format json | sed -n 's/.*"executable":"\([^"]*keyloft\)".*/\1/p' | tail -n 1)
work=$(mktemp -d); server=
trap '[ -z "$server" ] || { kill "$server"; wait "$server" || true; }; rm -rf "$work"' EXIT
export KEYLOFT_ADMIN_TOKEN=bench-0123456789abcdef0123456789abcdef
"$keyloft" serve --listen 127.0.0.1:0 --store "$work/store" --log-filter warn >"$work/greeting" & server=$!
until grep -q 'http://' "$work/greeting"; do sleep 0.1; kill -0 "$server"; done
KEYLOFT_URL=$(grep -o 'http://[0-9.:]*' "$work/greeting" | head -n 1); export KEYLOFT_URL
until curl -fs "$KEYLOFT_URL/api/v1/readiness" >/dev/null; do sleep 0.1; done
issue() { "$keyloft" key create --name "$1" --type "$1" --json | sed -n 's/.*"apiKey": "\([^"]*\)".*/\1/p'; }
curl -fsS "$KEYLOFT_URL/api/v1/ingest" -H "X-API-KEY: $(issue ingestion)" -H 'X-P-Stream: earthquakes' \
    -H 'Content-Type: application/x-ndjson' --data-binary @fixtures/events/earthquakes.ndjson >/dev/null
key=$(issue query)

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
