#!/usr/bin/env bash
# What a key costs over HTTP: one handler behind an open route and behind the same route with a key, side by side in one
# run, at several numbers of keys. Prints requests per second, p99, the ratio to the open route, and memory per key.
# Loopback only; every load lasts SECONDS_EACH seconds (default 5) over CONNECTIONS connections (default 32).
# Needs wrk (apt-get install wrk). usage: scripts/bench-http.sh [KEYS...]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
sizes=("$@"); [ ${#sizes[@]} -gt 0 ] || sizes=(1 1000 100000 1000000)
seconds=${SECONDS_EACH:-5}; connections=${CONNECTIONS:-32}; rounds=${ROUNDS:-3}

cargo build --quiet --release --bench http_routes
bench=$(cargo build --quiet --release --bench http_routes --message-format json | sed -n 's/.*"executable":"\([^"]*http_routes[^"]*\)".*/\1/p' | tail -n 1)
work=$(mktemp -d); server=
stop() { [ -z "$server" ] || { exec 9>&-; wait "$server" 2>/dev/null || true; server=; }; }
trap 'stop; rm -rf "$work"' EXIT

# load PATH [KEY] -> "requests_per_second p99_ms"
load() {
    local header=()
    [ -z "${2:-}" ] || header=(-H "X-API-KEY: $2")
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency "${header[@]}" "http://$address$1" | awk '
        $1 == "99%" { p99 = $2; if (p99 ~ /us$/) p99 = p99 / 1000; else if (p99 ~ /ms$/) p99 += 0; else p99 *= 1000 }
        $1 == "Requests/sec:" { rps = $2 }
        END { printf "%d %.2f\n", rps, p99 }'
}

# best PATH [KEY]: the best of some rounds, taken in turns with the other routes so that all meet the same machine
printf '%-9s  %-8s  %10s  %8s  %8s  %s\n' keys route req/s p99_ms ratio bytes/key
for size in "${sizes[@]}"; do
    mkfifo "$work/in.$size"
    "$bench" "$size" <"$work/in.$size" >"$work/out.$size" & server=$!
    exec 9>"$work/in.$size"
    until [ -s "$work/out.$size" ]; do sleep 0.1; kill -0 "$server"; done
    read -r address key unknown bytes <"$work/out.$size"
    load /open >/dev/null # warm up
    for _ in $(seq "$rounds"); do
        load /open >>"$work/open"; load /keyed "$key" >>"$work/keyed"; load /keyed "$unknown" >>"$work/unknown"
    done
    open=$(sort -n "$work/open" | tail -n 1 | cut -d' ' -f1)
    for route in open keyed unknown; do
        read -r rps p99 <<<"$(sort -n "$work/$route" | tail -n 1)"
        ratio=$(awk -v a="$rps" -v b="$open" 'BEGIN { printf "%.3f", a / b }')
        printf '%-9s  %-8s  %10s  %8s  %8s  %s\n' "$size" "$route" "$rps" "$p99" "$ratio" "$bytes"
    done
    rm "$work"/{open,keyed,unknown}
    stop
done
