#!/usr/bin/env bash
# What a key costs over HTTP: one handler that is open and the same handler with a key, side by side in one run, at several
# numbers of keys; then with a key that has networks and limits, and with a plain one, both where they are asked for. Prints requests per second, p99, the ratio to the open route and to the one with a key, and memory per key.
# The routes take turns, ROUNDS times (default 21), and the ratio is the median of those of each round, because the speed of
# a machine wanders. Loopback only; every load lasts SECONDS_EACH seconds (default 1) over CONNECTIONS connections (32).
# Needs wrk (apt-get install wrk). usage: scripts/bench-http.sh [KEYS...]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
sizes=("$@"); [ ${#sizes[@]} -gt 0 ] || sizes=(1 1000 100000 1000000)
seconds=${SECONDS_EACH:-1}; connections=${CONNECTIONS:-32}; rounds=${ROUNDS:-21}

# Without SQL, which is what takes long to build.
build=(cargo build --quiet --locked --release --no-default-features --features server --bench http_routes)
"${build[@]}"
bench=$("${build[@]}" --message-format json | sed -n 's/.*"executable":"\([^"]*http_routes[^"]*\)".*/\1/p' | tail -n 1)
work=$(mktemp -d); server=
stop() { [ -z "$server" ] || { exec 9>&-; wait "$server" 2>/dev/null || true; server=; }; }
trap 'stop; rm -rf "$work"' EXIT

# load ADDRESS [KEY] -> "requests_per_second p99_ms"
load() {
    local header=()
    [ -z "${2:-}" ] || header=(-H "X-API-KEY: $2")
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency "${header[@]}" "http://$1/" | awk '
        $1 == "99%" { p99 = $2; if (p99 ~ /us$/) p99 = p99 / 1000; else if (p99 ~ /ms$/) p99 += 0; else p99 *= 1000 }
        $1 == "Requests/sec:" { rps = $2 }
        END { printf "%d %.2f\n", rps, p99 }'
}

# middle COLUMN FILE: the median
middle() { awk -v column="$1" '{ print $column }' "$2" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# ratio ROUTE OTHER: the median of the rounds
ratio() {
    paste -d' ' "$work/$1" "$work/$2" | awk '{ printf "%.3f\n", $1 / $3 }' >"$work/ratios"
    middle 1 "$work/ratios"
}

printf '%-9s  %-8s  %10s  %8s  %8s  %8s  %s\n' keys route req/s p99_ms ratio to_keyed bytes/key
for size in "${sizes[@]}"; do
    mkfifo "$work/in.$size"
    "$bench" "$size" <"$work/in.$size" >"$work/out.$size" & server=$!
    exec 9>"$work/in.$size"
    until [ -s "$work/out.$size" ]; do sleep 0.1; kill -0 "$server"; done
    read -r at_open at_keyed at_limited key unknown bytes limited <"$work/out.$size"
    load "$at_open" >/dev/null # warm up
    for _ in $(seq "$rounds"); do
        load "$at_open" >>"$work/open"; load "$at_keyed" "$key" >>"$work/keyed"
        load "$at_keyed" "$unknown" >>"$work/unknown"
        load "$at_limited" "$limited" >>"$work/limited"; load "$at_limited" "$key" >>"$work/admitted"
    done
    for route in open keyed unknown limited admitted; do
        printf '%-9s  %-8s  %10s  %8s  %8s  %8s  %s\n' "$size" "$route" "$(middle 1 "$work/$route")" "$(middle 2 "$work/$route")" \
            "$(ratio "$route" open)" "$(ratio "$route" keyed)" "$bytes"
    done
    rm "$work"/{open,keyed,unknown,limited,admitted}
    stop
done
