#!/usr/bin/env bash
# What authentication costs over HTTP: `keyloft serve` with its defaults (request log to a file, metrics, usage) beside
# nginx with a map of keys (Debian's, with its request log), in one run, at several numbers of keys.
#
#   liveness        GET /api/v1/liveness, which asks for no key
#   keyed           GET /api/v1/logstream with good keys, up to 1,000 of them in turn
#   limited         the same with keys that have networks and limits
#   unknown         the same with 10,000 well-formed keys that nobody has issued: 401
#   nginx-open, nginx-keyed, nginx-unknown    the same answers by nginx
#
# Prints requests per second, p99, resident memory, and ratios with their 95 % interval. The routes take turns in random
# order, ROUNDS times (default 21), because the speed of a machine wanders; a ratio is the median of those of each round.
# After every ten rounds both servers are started anew, because where a process happens to lie in memory makes it faster
# or slower by some hundredths for as long as it lives. Loopback only; every load lasts SECONDS_EACH seconds (default 1)
# over CONNECTIONS connections (32), by one wrk that shares the cores with the servers.
#
# usage: scripts/bench-http.sh [KEYS…]    default 1 1000 100000 1000000; KEYLOFT_BENCH_BINARY names another build
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
sizes=("$@"); [ ${#sizes[@]} -gt 0 ] || sizes=(1 1000 100000 1000000)
seconds=${SECONDS_EACH:-1}; connections=${CONNECTIONS:-32}; rounds=${ROUNDS:-21}
routes=(liveness keyed limited unknown nginx-open nginx-keyed nginx-unknown)

fetch_nginx() { unpack_debian "$1" 'nginx-common|iproute2' nginx; }
nginx() { LD_LIBRARY_PATH="$(debian_libraries "$keyloft_cache/debian/nginx")" "$keyloft_cache/debian/nginx/usr/sbin/nginx" "$@"; }
nginx_runs() { nginx -v; }

provide_wrk
provide debian/nginx nginx nginx_runs fetch_nginx
keyloft=$(keyloft_program)
"$keyloft" --version
work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-http.XXXXXX"); server=; nginx=
mkdir -p "$work"/{keys,store/.settings/apikeys,nginx}
stop() {
    stop_keyloft
    [ -z "$nginx" ] || { kill "$nginx" 2>/dev/null && wait "$nginx" || true; nginx=; }
}
trap 'stop; rm -rf "$work"' EXIT

# make_keys FIRST LAST: documents of keys FIRST to LAST in the store, and their API keys in the map of nginx.
make_keys() {
    python3 - "$work" "$1" "$2" <<'PYTHON'
import hashlib, json, pathlib, random, sys, uuid, zlib

work, first, last = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

def api_key(dice):
    text = "kl_qry_" + "".join(dice.choices(BASE62, k=43))
    rest, checksum = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        checksum = BASE62[digit] + checksum
    return text + checksum

def document(folder, key, name, **fields):
    id = str(uuid.UUID(bytes=random.randbytes(16), version=4))
    digest = "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    fields = {"version": 1, "keyName": name, "keyType": "query", "digest": digest, **fields}
    (folder / f"{id}.json").write_text(json.dumps(fields))

folder, keys = work / "store/.settings/apikeys", work / "keys"
with open(keys / "map", "a") as map, open(keys / "keyed", "a") as keyed:
    for number in range(first, last + 1):
        key = api_key(random)
        document(folder, key, f"key-{number}")
        map.write(f"{key} 1;\n")
        if number <= 1000:
            keyed.write(key + "\n")
if first == 1:
    (keys / "open").write_text("\n")
    (keys / "unknown").write_text("".join(api_key(random) + "\n" for _ in range(10_000)))
    limits = {kind: {"perMinute": 1 << 40, "burst": 1 << 40} for kind in ("requests", "events", "bytes")}
    limited = [api_key(random) for _ in range(10)]
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
    cat >"$work/nginx/conf" <<CONF
daemon off;
worker_processes auto;
pid $work/nginx/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log $work/nginx/access;
    default_type application/json;
    keepalive_requests 1000000000;
    client_body_temp_path $work/nginx/1; proxy_temp_path $work/nginx/2; fastcgi_temp_path $work/nginx/3;
    uwsgi_temp_path $work/nginx/4; scgi_temp_path $work/nginx/5;
    map_hash_max_size 4194304;
    map_hash_bucket_size 1024;
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
    LD_LIBRARY_PATH="$(debian_libraries "$keyloft_cache/debian/nginx")" \
        "$keyloft_cache/debian/nginx/usr/sbin/nginx" -p "$work/nginx" -e stderr -c "$work/nginx/conf" & nginx=$!
    at_nginx="http://127.0.0.1:$port"
    until curl -fs -o /dev/null "$at_nginx/open"; do sleep 0.1; kill -0 "$nginx"; done
    load "$KEYLOFT_URL/api/v1/liveness" open >/dev/null # warm up
    load "$at_nginx/open" open >/dev/null
}

# load URL KEYS -> "requests_per_second p99_ms refused"
load() {
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency -s "$work/load.lua" "$1" -- "$work/keys/$2" | awk '
        $1 == "99%" { p99 = $2; if (p99 ~ /us$/) p99 = p99 / 1000; else if (p99 ~ /ms$/) p99 += 0; else p99 *= 1000 }
        $1 == "Requests/sec:" { rps = $2 }
        $1 == "Non-2xx" { refused = $NF }
        END { printf "%d %.2f %d\n", rps, p99, refused }'
}

turn() {
    local answer
    case $1 in
        liveness) answer=$(load "$KEYLOFT_URL/api/v1/liveness" open) ;;
        keyed | limited | unknown) answer=$(load "$KEYLOFT_URL/api/v1/logstream" "$1") ;;
        nginx-open) answer=$(load "$at_nginx/open" open) ;;
        nginx-*) answer=$(load "$at_nginx/keyed" "${1#nginx-}") ;;
    esac
    case $1:${answer##* } in
        *unknown:0) fail "$1: unknown keys were let in" ;;
        *unknown:* | *:0) ;;
        *) fail "$1: some requests were refused ($answer)" ;;
    esac
    echo "$answer" >>"$work/$1"
    : >"$work/log"
    : >"$work/nginx/access"
}

# middle COLUMN FILE: the median
middle() { awk -v column="$1" '{ print $column }' "$2" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# ratio KEYS ROUTE OTHER: the median of the ratios of the rounds, with its 95 % interval, which goes by their order
ratio() {
    paste -d' ' "$work/$2" "$work/$3" | awk '{ printf "%.3f\n", $1 / $4 }' | sort -g | awk -v keys="$1" -v name="$2 / $3" '
        { ratios[NR] = $1 }
        END {
            aside = int(NR / 2 - 0.98 * sqrt(NR)); if (aside < 1) aside = 1
            printf "%-9s  %-26s  %.3f (%.3f-%.3f)\n", keys, name, ratios[int((NR + 1) / 2)], ratios[aside], ratios[NR + 1 - aside]
        }'
}

resident() { awk '$1 == "VmRSS:" { printf "%d", $2 / 1024 }' "/proc/$1/status"; }

present=0
for size in "${sizes[@]}"; do
    [ "$size" -gt "$present" ] || fail "the numbers of keys must grow"
    make_keys $((present + 1)) "$size"
    present=$size
    for round in $(seq 0 $((rounds - 1))); do
        [ $((round % 10)) != 0 ] || { stop; start; }
        for route in $(shuf -e "${routes[@]}"); do turn "$route"; done
    done
    printf '\n%-9s  %-26s  %10s  %8s\n' keys route req/s p99_ms
    for route in "${routes[@]}"; do
        printf '%-9s  %-26s  %10s  %8s\n' "$size" "$route" "$(middle 1 "$work/$route")" "$(middle 2 "$work/$route")"
    done
    ratio "$size" keyed liveness
    ratio "$size" unknown keyed
    ratio "$size" limited keyed
    ratio "$size" keyed nginx-keyed
    ratio "$size" liveness nginx-open
    ratio "$size" nginx-keyed nginx-open
    printf '%-9s  %-26s  %7s MiB\n' "$size" 'resident' "$(resident "$server")"
    stop
    for route in "${routes[@]}"; do rm "$work/$route"; done
done
