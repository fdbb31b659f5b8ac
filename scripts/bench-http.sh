#!/usr/bin/env bash
# What authentication costs over HTTP: `keyloft serve` with its defaults (request log to a file, metrics, usage) beside
# nginx with a map of keys (Debian's, with its request log), in one run, at several numbers of keys.
#
#   liveness        GET /api/v1/liveness, which asks for no key
#   keyed           GET /api/v1/logstream with good keys, up to 10,000 of them in turn, drawn from all
#   limited         the same with 10 keys that have networks and limits
#   unknown         the same with 10,000 well-formed keys that nobody has issued: 401
#   nginx-open, nginx-keyed, nginx-unknown    the same answers by nginx
#
# Prints requests per second, p99, processor time of the server per request, resident memory, what became of unknown
# keys, and ratios of requests per second with their interval (95 % or more). The routes take turns in random order, ROUNDS times (default 11), because the speed of a machine wanders; a
# ratio is the median of those of each round. After every six rounds both servers are started anew, because where a
# process happens to lie in memory makes it faster or slower by some hundredths for as long as it lives. Loopback only;
# every load lasts SECONDS_EACH seconds (default 1) over CONNECTIONS connections (32), by one wrk that shares the cores
# with the servers. Beside other work the processor time still means something, the rest does not.
#
# usage: scripts/bench-http.sh [KEYS…]    default 1 1000 100000 1000000: about ten minutes
#        ROUNDS=5 scripts/bench-http.sh 1000    one minute, for a first look
# KEYLOFT_BENCH_BINARY names a build to measure, KEYLOFT_BENCH_PROFILE a profile to build (release).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
sizes=("$@"); [ ${#sizes[@]} -gt 0 ] || sizes=(1 1000 100000 1000000)
seconds=${SECONDS_EACH:-1}; connections=${CONNECTIONS:-32}; rounds=${ROUNDS:-11}
routes=(liveness keyed limited unknown nginx-open nginx-keyed nginx-unknown)

provide_wrk
proxies=$(scripts/proxies.sh)
proxy_libraries=$(debian_libraries "$proxies")
keyloft=$(keyloft_program)
build_and_machine "$keyloft"
work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-http.XXXXXX"); server=; nginx=
mkdir -p "$work"/{keys,store/.settings/apikeys,nginx}
stop() {
    stop_keyloft
    [ -z "$nginx" ] || { kill "$nginx" 2>/dev/null && wait "$nginx" || true; nginx=; }
}
trap 'stop; rm -rf "$work"' EXIT

# make_keys FIRST LAST: documents of keys FIRST to LAST in the store, their API keys in the map of nginx, and those of
# up to 10,000 of the keys that there are by then in the list for `keyed`.
make_keys() {
    python3 - "$work" "$1" "$2" <<'PYTHON'
import hashlib, json, pathlib, random, sys, uuid, zlib

work, first, last = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

def api_key():
    text = "kl_qry_" + "".join(random.choices(BASE62, k=43))
    rest, checksum = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        checksum = BASE62[digit] + checksum
    return text + checksum

def document(folder, key, name, **fields):
    id = str(uuid.UUID(bytes=random.randbytes(16), version=4))
    digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    fields = {"version": 1, "keyName": name, "keyType": "query", "digest": digest, **fields}
    with open(f"{folder}/{id}.json", "w") as file:
        file.write(json.dumps(fields))

folder, keys = work / "store/.settings/apikeys", work / "keys"
with open(keys / "map", "a") as map:
    for number in range(first, last + 1):
        key = api_key()
        document(folder, key, f"key-{number}")
        map.write(f"{key} 1;\n")
with open(keys / "map") as map:
    known = [line.split()[0] for line in map]
(keys / "keyed").write_text("".join(key + "\n" for key in random.sample(known, min(len(known), 10_000))))
if first == 1:
    (keys / "open").write_text("\n")
    (keys / "unknown").write_text("".join(api_key() + "\n" for _ in range(10_000)))
    limits = {kind: {"perMinute": 1 << 40, "burst": 1 << 40} for kind in ("requests", "events", "bytes")}
    limited = [api_key() for _ in range(10)]
    (keys / "limited").write_text("".join(key + "\n" for key in limited))
    for number, key in enumerate(limited):
        document(folder, key, f"limited-{number}", limits=limits, allowedCidrs=["127.0.0.0/8", "10.0.0.0/8"])
PYTHON
}

# The requests are made before the load begins, so that they cost the client the same on every route.
cat >"$work/load.lua" <<'LUA'
local requests, at = {}, 0
function init(arguments)
    for key in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format("GET", nil, key ~= "" and {["X-API-KEY"] = key} or {})
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
LUA

start() {
    : >"$work/log"
    start_keyloft "$work" "$work/store"
    local port body
    port=$(free_port)
    body=$(curl -fsS -H "X-API-KEY: $(head -n 1 "$work/keys/keyed")" "$KEYLOFT_URL/api/v1/logstream")
    # The map gets buckets of a few keys each, however many there are.
    cat >"$work/nginx/conf" <<CONF
daemon off;
worker_processes auto;
pid $work/nginx/pid;
error_log stderr error;
events { worker_connections 1024; }
http {
    access_log $work/nginx/access;
    default_type application/json;
    keepalive_requests 1000000000;
    client_body_temp_path $work/nginx/1; proxy_temp_path $work/nginx/2; fastcgi_temp_path $work/nginx/3;
    uwsgi_temp_path $work/nginx/4; scgi_temp_path $work/nginx/5;
    map_hash_max_size 4194304;
    map_hash_bucket_size 512;
    map \$http_x_api_key \$is_known { default 0; include $work/keys/map; }
    server {
        listen 127.0.0.1:$port;
        location /open { return 200 '$body'; }
        location /keyed {
            if (\$is_known = 0) { return 401 '{"status":401}'; }
            return 200 '$body';
        }
    }
}
CONF
    LD_LIBRARY_PATH=$proxy_libraries "$proxies/usr/sbin/nginx" -p "$work/nginx" -e stderr -c "$work/nginx/conf" & nginx=$!
    at_nginx="http://127.0.0.1:$port"
    until curl -fs -o /dev/null "$at_nginx/open"; do sleep 0.1; kill -0 "$nginx"; done
    load "$KEYLOFT_URL/api/v1/liveness" open >/dev/null # warm up
    load "$at_nginx/open" open >/dev/null
}

# load URL KEYS -> "requests_per_second p99_ms answered refused"
load() {
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency -s "$work/load.lua" "$1" -- "$work/keys/$2" | awk '
        $1 == "99%" { p99 = $2; if (p99 ~ /us$/) p99 = p99 / 1000; else if (p99 ~ /ms$/) p99 += 0; else p99 *= 1000 }
        $2 == "requests" && $3 == "in" { answered = $1 }
        $1 == "Requests/sec:" { rps = $2 }
        $1 == "Non-2xx" { refused = $NF }
        $1 == "Socket" { print >"/dev/stderr"; failed = 1 }
        END { printf "%d %.2f %d %d\n", rps, p99, answered, refused; exit failed }'
}

# ticks PID…: the processor time of processes, in hundredths of a second
ticks() { awk '{ sum += $14 + $15 } END { print sum }' "${@/%//stat}"; }

turn() {
    local answer answered refused processes before
    case $1 in
        nginx-*) processes=$(cat "/proc/$nginx/task/$nginx/children") ;;
        *) processes=$server ;;
    esac
    # shellcheck disable=SC2086 # a list of numbers
    before=$(cd /proc && ticks $processes)
    case $1 in
        liveness) answer=$(load "$KEYLOFT_URL/api/v1/liveness" open) ;;
        keyed | limited | unknown) answer=$(load "$KEYLOFT_URL/api/v1/logstream" "$1") ;;
        nginx-open) answer=$(load "$at_nginx/open" open) ;;
        nginx-*) answer=$(load "$at_nginx/keyed" "${1#nginx-}") ;;
    esac
    read -r _ _ answered refused <<<"$answer"
    case $1 in
        *unknown) [ "$refused" = "$answered" ] || fail "$1: of $answered requests only $refused were refused" ;;
        *) [ "$refused" = 0 ] || fail "$1: $refused of $answered requests were refused" ;;
    esac
    # shellcheck disable=SC2086
    echo "$answer $(cd /proc && ticks $processes) $before" | awk '{ print $1, $2, $3, $4, ($5 - $6) * 10000 / $3 }' >>"$work/$1"
    : >"$work/log"
    : >"$work/nginx/access"
}

# middle COLUMN FILE: the median
middle() { awk -v column="$1" '{ print $column }' "$2" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# ratio KEYS ROUTE OTHER: the median of the ratios of the rounds, with its interval, which goes by their order
ratio() {
    paste -d' ' "$work/$2" "$work/$3" | awk '{ printf "%.3f\n", $1 / $6 }' | sort -g | awk -v keys="$1" -v name="$2 / $3" '
        { ratios[NR] = $1 }
        END {
            aside = int(NR / 2 - 0.98 * sqrt(NR)); if (aside < 1) aside = 1
            printf "%-9s  %-26s  %.3f (%.3f-%.3f)\n", keys, name, ratios[int((NR + 1) / 2)], ratios[aside], ratios[NR + 1 - aside]
        }'
}

resident() { awk '$1 == "VmRSS:" { printf "%d", $2 / 1024 }' "/proc/$1/status"; }

# lookups KEYS: what became of unknown keys, and whether each was told so: nothing but 200 and 401 may have been answered.
lookups() {
    local metrics others
    metrics=$(curl -fsS "$KEYLOFT_URL/metrics")
    others=$(grep '^keyloft_http_requests_total{.*/api/v1/logstream"' <<<"$metrics" | grep -vE 'status="(200|401)"' || true)
    [ -z "$others" ] || fail "other answers than 200 and 401: $others"
    sed -n 's/^keyloft_unknown_key_lookups_total{outcome="\(.*\)"} \([0-9]*\)$/\1 \2/p' <<<"$metrics" |
        while read -r outcome count; do printf '%-9s  %-26s  %10s\n' "$1" "unknown keys: $outcome" "$count"; done
}

present=0
for size in "${sizes[@]}"; do
    [ "$size" -gt "$present" ] || fail "the numbers of keys must grow"
    make_keys $((present + 1)) "$size"
    present=$size
    for round in $(seq 0 $((rounds - 1))); do
        [ $((round % 6)) != 0 ] || { stop; start; }
        for route in $(shuf -e "${routes[@]}"); do turn "$route"; done
    done
    printf '\n%-9s  %-26s  %10s  %8s  %6s\n' keys route req/s p99_ms cpu_us
    for route in "${routes[@]}"; do
        printf '%-9s  %-26s  %10s  %8s  %6.1f\n' "$size" "$route" "$(middle 1 "$work/$route")" \
            "$(middle 2 "$work/$route")" "$(middle 5 "$work/$route")"
    done
    lookups "$size"
    printf '%-9s  %-26s  %6s MiB\n' "$size" 'resident' "$(resident "$server")"
    {
        ratio "$size" keyed liveness
        ratio "$size" keyed nginx-keyed
        ratio "$size" unknown keyed
        ratio "$size" limited keyed
        ratio "$size" liveness nginx-open
        ratio "$size" nginx-keyed nginx-open
    } | tee -a "$work/ratios"
    stop
    for route in "${routes[@]}"; do rm "$work/$route"; done
done
printf '\nThe ratios of all sizes:\n'
sort -s -k2,4 "$work/ratios"
printf 'in %s s\n' "$SECONDS"
