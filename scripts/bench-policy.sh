#!/usr/bin/env bash
# What decisions of traffic policies cost.
#
#   process    a decision in process: 100 policies with ten patterns, beside the crate `cel`; the same with three
#              entities and ten windows among a million clients; ten million clients that come once
#   servers    requests per second with rules, beside the same server without, all in one run: `decide` of Keyloft with
#              100 policies beside its open handler; `limit_req` of nginx; a stick table of HAProxy; nginx with
#              ModSecurity and the Core Rule Set (all of Debian 12)
#
# The servers take turns in random order, ROUNDS times (default 7), SECONDS_EACH seconds each (2), over CONNECTIONS
# connections (16); a ratio is the median of those of each round. Requests are logins of 10,000 clients, none of which
# is refused. wrk shares the cores with the servers. Loopback only.
#
# usage: scripts/bench-policy.sh [process] [servers]    both unless one is said
# KEYLOFT_BENCH_BINARY names a build to measure, KEYLOFT_BENCH_PROFILE a profile to build (release).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
parts=("$@"); [ ${#parts[@]} -gt 0 ] || parts=(process servers)
seconds=${SECONDS_EACH:-2}; connections=${CONNECTIONS:-16}; rounds=${ROUNDS:-7}
routes=(keyloft-open keyloft-rules nginx-open nginx-rules haproxy-open haproxy-rules modsecurity-rules)

in_process() { "$(built policy --release --bench policy)" decisions; }

# === The others

others="$keyloft_cache/debian/firewalls"
fetch_others() { unpack_debian "$1" 'nginx-common|iproute2' nginx haproxy libnginx-mod-http-modsecurity modsecurity-crs; }
others_run() {
    LD_LIBRARY_PATH=$(debian_libraries "$1") "$1/usr/sbin/nginx" -v && LD_LIBRARY_PATH=$(debian_libraries "$1") "$1/usr/sbin/haproxy" -v
}

start_nginx() {
    local port_open port_rules port_crs
    port_open=$(free_port) port_rules=$(free_port) port_crs=$(free_port)
    mkdir -p "$work/nginx"
    cat >"$work/modsecurity" <<CONF
SecRuleEngine On
SecRequestBodyAccess On
SecAuditEngine Off
SecAction "id:900990,phase:1,nolog,pass,t:none,setvar:tx.crs_setup_version=334"
Include $others/usr/share/modsecurity-crs/rules/*.conf
CONF
    cat >"$work/nginx/conf" <<CONF
load_module $others/usr/lib/nginx/modules/ngx_http_modsecurity_module.so;
daemon off;
user $(id -un) $(id -gn);
worker_processes auto;
pid $work/nginx/pid;
error_log stderr crit;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $work/nginx/1; proxy_temp_path $work/nginx/2; fastcgi_temp_path $work/nginx/3;
    uwsgi_temp_path $work/nginx/4; scgi_temp_path $work/nginx/5;
    limit_req_zone \$http_x_client zone=clients:10m rate=10000r/s;
    server { listen 127.0.0.1:$port_open; root $work/nginx/root; location / { error_page 404 405 =200 /answer; } }
    server {
        listen 127.0.0.1:$port_rules; root $work/nginx/root;
        limit_req zone=clients burst=100000 nodelay;
        location / { error_page 404 405 =200 /answer; }
    }
    server {
        listen 127.0.0.1:$port_crs; root $work/nginx/root;
        modsecurity on;
        modsecurity_rules_file $work/modsecurity;
        location / { error_page 404 405 =200 /answer; }
    }
}
CONF
    mkdir -p "$work/nginx/root"
    echo '{"action":"allow"}' >"$work/nginx/root/answer"
    LD_LIBRARY_PATH=$(debian_libraries "$others") start_daemon "$work/nginx/daemon" "$others/usr/sbin/nginx" \
        -p "$work/nginx" -e stderr -c "$work/nginx/conf"
    url[nginx-open]="http://127.0.0.1:$port_open" url[nginx-rules]="http://127.0.0.1:$port_rules"
    url[modsecurity-rules]="http://127.0.0.1:$port_crs"
    until_up "$work/nginx/daemon" curl -s -o /dev/null "${url[modsecurity-rules]}/answer" || fail "$(tail -n 5 "$work/nginx/daemon.out")"
}

start_haproxy() {
    local port_open port_rules
    port_open=$(free_port) port_rules=$(free_port)
    mkdir -p "$work/haproxy"
    cat >"$work/haproxy/conf" <<CONF
global
    nbthread $(nproc)
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend open
    bind 127.0.0.1:$port_open
    http-request return status 200 content-type application/json string '{"action":"allow"}'
frontend rules
    bind 127.0.0.1:$port_rules
    stick-table type string len 32 size 1m expire 5m store http_req_rate(60s)
    http-request track-sc0 req.hdr(x-client)
    http-request deny if { sc_http_req_rate(0) gt 1000000000 }
    http-request return status 200 content-type application/json string '{"action":"allow"}'
CONF
    LD_LIBRARY_PATH=$(debian_libraries "$others") start_daemon "$work/haproxy/daemon" "$others/usr/sbin/haproxy" -f "$work/haproxy/conf"
    url[haproxy-open]="http://127.0.0.1:$port_open" url[haproxy-rules]="http://127.0.0.1:$port_rules"
    until_up "$work/haproxy/daemon" curl -fs -o /dev/null "${url[haproxy-rules]}/" || fail "$(tail -n 5 "$work/haproxy/daemon.out")"
}

# === Keyloft

policies() {
    python3 - <<'PYTHON'
import json
policies = []
for number in range(100):
    policy = {"name": f"p{number}", "mitigation": "block",
              "expression": f"request_host == 'shop{number}.example' && request_path.startsWith('/x{number}')"}
    if number < 10:
        policy["expression"] = f"user_agent.matches('(?i)bot{number}|crawl{number}|spider')"
    if number == 99:
        policy |= {"expression": "request_method == 'POST' && request_path == '/login'", "entity": "ip-user-agent",
                   "window": {"seconds": 60, "threshold": 100000}}
    policies.append(policy)
print(json.dumps({"version": 1, "policies": policies}))
PYTHON
}

start_server() {
    mkdir -p "$work/store"
    start_keyloft "$work" "$work/store" --log-filter warn
    url[keyloft-open]="$KEYLOFT_URL/api/v1/liveness" url[keyloft-rules]="$KEYLOFT_URL/api/v1/decide"
    policies >"$work/policies.yaml"
    "$keyloft" policy apply -f "$work/policies.yaml" --yes >"$work/applied"
    "$keyloft" key create --name edge --type ingestion --source-id edge --json | sed -n 's/.*"apiKey": "\([^"]*\)".*/\1/p' >"$work/key"
}

# The requests are made before the load begins, so that they cost the client the same on every route.
requests() {
    cat >"$work/load.lua" <<LUA
local key = io.open("$work/key"):read("l")
local agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120"
local requests, at = {}, 0
function init(arguments)
    for client = 0, 9999 do
        local address = "10.0." .. math.floor(client / 256) .. "." .. client % 256
        if arguments[1] == "keyloft-rules" then
            local body = '{"clientIp":"' .. address .. '","request":{"method":"POST","host":"shop.example","path":"/login",'
                .. '"headers":{"user-agent":"' .. agent .. '"}}}'
            requests[#requests + 1] = wrk.format("POST", nil, {["X-API-KEY"] = key, ["Content-Type"] = "application/json"}, body)
        elseif arguments[1] == "keyloft-open" then
            requests[#requests + 1] = wrk.format("GET", nil)
        else
            requests[#requests + 1] = wrk.format("POST", nil, {["X-Client"] = address, ["User-Agent"] = agent,
                ["Host"] = "shop.example", ["Accept"] = "*/*", ["Content-Type"] = "application/json"}, '{"user":"joe"}')
        end
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
LUA
}

# turn ROUTE: requests per second, and their median latency in milliseconds.
turn() {
    local target=${url[$1]}
    case $1 in nginx-* | modsecurity-* | haproxy-*) target+=/login ;; esac
    wrk -t 1 -c "$connections" -d "${seconds}s" --latency -s "$work/load.lua" "$target" -- "$1" >"$work/result"
    if grep -qE 'Non-2xx|Socket' "$work/result"; then cat "$work/result" >&2; fail "$1 did not answer all"; fi
    awk '
        $1 == "50%" { p50 = $2; if (p50 ~ /us$/) p50 = p50 / 1000; else if (p50 ~ /ms$/) p50 += 0; else p50 *= 1000 }
        $1 == "Requests/sec:" { rps = $2 }
        END { printf "%d %.3f\n", rps, p50 }' "$work/result" >>"$work/turns-$1"
}

middle() { cut -d' ' -f"$1" "$work/turns-$2" | sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# ratio RULES OPEN: the median of the ratios of the rounds, the least and the most of them, and the added latency.
ratio() {
    local added
    added=$(paste -d' ' "$work/turns-$1" "$work/turns-$2" | awk '{ printf "%.3f\n", $2 - $4 }' | sort -g | sed -n "$(((rounds + 1) / 2))p")
    paste -d' ' "$work/turns-$1" "$work/turns-$2" | awk '{ printf "%.3f\n", $1 / $3 }' | sort -g | awk -v name="$1 / $2" -v added="$added" '
        { all[NR] = $1 }
        END { printf "%-34s %.3f (%.3f-%.3f)   %+.3f ms\n", name, all[int((NR + 1) / 2)], all[1], all[NR], added }'
}

stop_servers() {
    stop_keyloft
    # Its workers end with it only if it is asked to.
    if [ -e "$work/nginx/pid" ]; then
        kill "$(cat "$work/nginx/pid")" || true
        until ! is_alive "$work/nginx/daemon"; do sleep 0.1; done
    fi
    end_daemon "$work/haproxy/daemon" "$work"
    rm -rf "$work"
}

servers() {
    provide_wrk
    provide debian/firewalls 'nginx haproxy modsecurity crs' others_run fetch_others
    keyloft=$(keyloft_program)
    work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-policy.XXXXXX"); server=
    declare -gA url=()
    trap stop_servers EXIT
    build_and_machine "$keyloft"
    start_server
    start_nginx
    start_haproxy
    requests
    for route in "${routes[@]}"; do turn "$route"; rm "$work/turns-$route"; done # warm up
    for ((round = 0; round < rounds; round++)); do
        for route in $(shuf -e "${routes[@]}"); do turn "$route"; done
    done
    printf '\n%-34s %10s  %s\n' '' 'req/s' 'median ms'
    for route in "${routes[@]}"; do printf '%-34s %10s  %s\n' "$route" "$(middle 1 "$route")" "$(middle 2 "$route")"; done
    printf '\n%-34s %s   %s\n' '' 'requests per second (least-most)' 'added latency'
    ratio keyloft-rules keyloft-open
    ratio nginx-rules nginx-open
    ratio haproxy-rules haproxy-open
    ratio modsecurity-rules nginx-open
}

for part in "${parts[@]}"; do
    case $part in
        process) in_process ;;
        servers) servers ;;
        *) fail "usage: scripts/bench-policy.sh [process] [servers]" ;;
    esac
done
