#!/usr/bin/env bash
# Durable ingest: events per second over HTTP, in batches of 1,000 events of about 270 bytes, each batch acknowledged
# only after it is in a synced file. Two servers take turns, ROUNDS times (default 5): one never compacts, the other
# does all the time. Loopback only, SECONDS_EACH seconds (default 10) each turn over CONNECTIONS connections (default 32).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
provide_wrk
seconds=${SECONDS_EACH:-10}; connections=${CONNECTIONS:-32}; rounds=${ROUNDS:-5}

keyloft=$(keyloft_program)
build_and_machine "$keyloft"
work=$(mktemp -d); server=; servers=()
end() {
    for server in "${servers[@]}"; do kill -CONT "$server" 2>/dev/null || true; stop_keyloft; done
    rm -rf "$work"
}
trap end EXIT

# start NAME INTERVAL: a server that compacts after so long, and its load.
start() {
    mkdir "$work/$1"
    start_keyloft "$work/$1" "$work/$1/store" --log-filter warn --compaction-interval "$2"
    servers+=("$server")
    cat >"$work/$1/load.lua" <<LUA
local file = io.open("$work/batch"); local body = file:read("*a"); file:close()
wrk.method = "POST"; wrk.body = body
wrk.headers["X-API-KEY"] = "$(issue bench ingestion)"; wrk.headers["X-P-Stream"] = "bench"
wrk.headers["Content-Type"] = "application/x-ndjson"
LUA
    echo "$KEYLOFT_URL" >"$work/$1/url"
}

# turn NAME PID: events per second, while the other server is stopped.
turn() {
    kill -CONT "$2"
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency -s "$work/$1/load.lua" "$(cat "$work/$1/url")/api/v1/ingest" >"$work/result"
    kill -STOP "$2"
    if grep -q 'Non-2xx' "$work/result"; then cat "$work/result"; exit 1; fi
    awk '$1 == "99%" { p99 = $2 } $1 == "Requests/sec:" { rps = $2 } END { printf "%d %s\n", rps * 1000, p99 }' "$work/result" >>"$work/$1/turns"
}

# median NAME COLUMN: 1 is events per second, 2 the p99 of a batch in milliseconds.
median() {
    cut -d' ' -f"$2" "$work/$1/turns" | awk '
        /us$/ { $1 = $1 / 1000 } /[0-9]s$/ { $1 = $1 * 1000 } { print $1 + 0 }' | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

head -n 1000 fixtures/events/earthquakes.ndjson >"$work/batch"
bytes=$(($(wc -c <"$work/batch") / 1000))
start plain 0s
start compacting 1s
kill -STOP "${servers[@]}"
for ((round = 0; round < rounds; round++)); do
    turn plain "${servers[0]}"
    turn compacting "${servers[1]}"
done
for name in plain compacting; do
    printf '%-11s %s events/s of %d bytes in batches of 1000, durable; each turn, with the p99 of a batch: %s\n' "$name" \
        "$(median "$name" 1)" "$bytes" "$(paste -sd, "$work/$name/turns")"
    printf '%-11s %s objects, %s on disk\n' "$name" "$(find "$work/$name/store" -name '*.parquet' | wc -l)" "$(du -sh "$work/$name/store" | cut -f1)"
done
awk "BEGIN { printf \"with compaction / without: events %.2f, p99 %.2f\\n\", \
    $(median compacting 1) / $(median plain 1), $(median compacting 2) / $(median plain 2) }"
