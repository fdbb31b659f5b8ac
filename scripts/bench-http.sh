#!/usr/bin/env bash
# What a key costs over HTTP: one handler that is open and the same handler with a key, side by side in one run, at several
# numbers of keys; then with a key that has networks and limits, and with a plain one, both where they are asked for. Prints
# requests per second, p99, the ratio to the open route with the 95 % interval of that, the ratio to the route with a key,
# and memory per key.
# The routes take turns in random order, ROUNDS times (default 21), because the speed of a machine wanders; the ratio is the
# median of those of each round. After every ten rounds the servers are started anew, because where a process happens to lie
# in memory makes it faster or slower by some hundredths for as long as it lives.
# Loopback only; every load lasts SECONDS_EACH seconds (default 1) over CONNECTIONS connections (32).
# Needs wrk (apt-get install wrk). usage: scripts/bench-http.sh [KEYS...]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
sizes=("$@"); [ ${#sizes[@]} -gt 0 ] || sizes=(1 1000 100000 1000000)
seconds=${SECONDS_EACH:-1}; connections=${CONNECTIONS:-32}; rounds=${ROUNDS:-21}
routes=(open keyed unknown limited admitted)

# Without SQL, which is what takes long to build.
build=(cargo build --quiet --locked --release --no-default-features --features server --bench http_routes)
"${build[@]}"
bench=$("${build[@]}" --message-format json | sed -n 's/.*"executable":"\([^"]*http_routes[^"]*\)".*/\1/p' | tail -n 1)
work=$(mktemp -d); server=
stop() { [ -z "$server" ] || { exec 9>&-; wait "$server" 2>/dev/null || true; server=; }; }
trap 'stop; rm -rf "$work"' EXIT

# start KEYS: the servers, over so many keys
start() {
    rm -f "$work"/{in,out}
    mkfifo "$work/in"
    "$bench" "$1" <"$work/in" >"$work/out" & server=$!
    exec 9>"$work/in"
    until [ -s "$work/out" ]; do sleep 0.1; kill -0 "$server"; done
    read -r at_open at_keyed at_limited key unknown bytes limited <"$work/out"
    load "$at_open" >/dev/null # warm up
}

# load ADDRESS [KEY] -> "requests_per_second p99_ms"
load() {
    local header=()
    [ -z "${2:-}" ] || header=(-H "X-API-KEY: $2")
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency "${header[@]}" "http://$1/" | awk '
        $1 == "99%" { p99 = $2; if (p99 ~ /us$/) p99 = p99 / 1000; else if (p99 ~ /ms$/) p99 += 0; else p99 *= 1000 }
        $1 == "Requests/sec:" { rps = $2 }
        END { printf "%d %.2f\n", rps, p99 }'
}

turn() {
    case $1 in
        open) load "$at_open" ;;
        keyed) load "$at_keyed" "$key" ;;
        unknown) load "$at_keyed" "$unknown" ;;
        limited) load "$at_limited" "$limited" ;;
        admitted) load "$at_limited" "$key" ;;
    esac >>"$work/$1"
}

# middle COLUMN FILE: the median
middle() { awk -v column="$1" '{ print $column }' "$2" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# ratio ROUTE OTHER -> "median lowest highest": of the ratios of the rounds, with its 95 % interval, which goes by their order
ratio() {
    paste -d' ' "$work/$1" "$work/$2" | awk '{ printf "%.3f\n", $1 / $3 }' | sort -g | awk '
        { ratios[NR] = $1 }
        END {
            aside = int(NR / 2 - 0.98 * sqrt(NR)); if (aside < 1) aside = 1
            print ratios[int((NR + 1) / 2)], ratios[aside], ratios[NR + 1 - aside]
        }'
}

printf '%-9s  %-8s  %10s  %8s  %8s  %15s  %8s  %s\n' keys route req/s p99_ms ratio interval to_keyed bytes/key
for size in "${sizes[@]}"; do
    for round in $(seq 0 $((rounds - 1))); do
        [ $((round % 10)) != 0 ] || { stop; start "$size"; }
        for route in $(shuf -e "${routes[@]}"); do turn "$route"; done
    done
    for route in "${routes[@]}"; do
        read -r median lowest highest < <(ratio "$route" open)
        read -r to_keyed _ < <(ratio "$route" keyed)
        printf '%-9s  %-8s  %10s  %8s  %8s  %15s  %8s  %s\n' "$size" "$route" "$(middle 1 "$work/$route")" \
            "$(middle 2 "$work/$route")" "$median" "$lowest-$highest" "$to_keyed" "$bytes"
    done
    stop
    for route in "${routes[@]}"; do rm "$work/$route"; done
done
