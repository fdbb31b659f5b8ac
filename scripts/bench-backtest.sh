#!/usr/bin/env bash
# What a backtest costs: MILLIONS million events (default 10) of an access log, as they come from four shippers at once,
# ingested once and merged as far as they are; then the set in force, and a draft beside it, over all of them.
# Events per second of each, and the peak of resident memory of the server. Loopback only.
# usage: MILLIONS=10 scripts/bench-backtest.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
millions=${MILLIONS:-10}

keyloft=$(keyloft_program)
build_and_machine "$keyloft"
work=$(mktemp -d); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT
serve() { start_keyloft "$work" "$work/store" --log-filter warn --policy-memory 64MiB --query-memory 512MiB; }
serve

cat >"$work/policies.yaml" <<'YAML'
version: 1
entities: [{name: client, keyFields: [client_ip]}]
traffic: {streams: [access]}
actions: [{name: login, expression: "request_method == 'POST' && request_path == '/login'"}]
policies:
  - {name: thirty, entity: client, mitigation: monitor, window: {seconds: 60, threshold: 30}}
  - {name: logins, actions: [login], entity: ip-user-agent, mitigation: challenge, window: {seconds: 300, threshold: 5}}
  - {name: errors, entity: client, mitigation: block, window: {seconds: 10, threshold: 10, count: "response_status == 404"}}
  - {name: bots, mitigation: monitor, expression: "user_agent.matches('(?i)bot|crawl|spider')"}
YAML
sed 's/threshold: 30/threshold: 20/' "$work/policies.yaml" >"$work/draft.yaml"

# In the stream before there are policies: what ingest judges is measured elsewhere.
python3 - "$work/lines" <<'PYTHON'
import json, random, sys
random.seed(1)
agents = ["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "curl/8.9", "Googlebot/2.1", "Mozilla/5.0 (iPhone) Safari/605"]
with open(sys.argv[1], "w") as out:
    for n in range(100_000):
        out.write(json.dumps({"@timestamp": 1764400000000 + n * 5 + random.randrange(2000),
            "source": {"ip": f"198.18.{random.randrange(64)}.{random.randrange(256)}"},
            "user_agent": {"original": random.choice(agents)}, "url": {"original": random.choice(["/", "/login", "/a/b?c=d"])},
            "http": {"request": {"method": random.choice(["GET", "GET", "POST"])},
                     "response": {"status_code": random.choice([200, 200, 200, 404])}}}) + "\n")
PYTHON
writer=$(issue writer ingestion)
shipper() {
    for ((n = $1; n < millions * 10; n += 4)); do
        # Each hundred thousand is five hundred seconds later than the last. A time stands behind `{"@timestamp": `.
        awk -v add=$((n * 500000)) '{ printf "%s%.0f%s\n", substr($0, 1, 15), substr($0, 16, 13) + add, substr($0, 29) }' \
            "$work/lines" |
            split -l 10000 --filter="curl -fsS '$KEYLOFT_URL/api/v1/logstream/access' -H 'X-API-KEY: $writer' \
                -H 'Content-Type: application/x-ndjson' --data-binary @- -o /dev/null"
    done
}
pids=()
for shipper in 0 1 2 3; do shipper "$shipper" & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid"; done
"$keyloft" policy apply -f "$work/policies.yaml" --yes >/dev/null

# Anew, so that the peak of memory is that of backtests.
stop_keyloft
serve
measure() {
    local name=$1
    shift
    "$keyloft" policy backtest "$@" --days 1 --json >"$work/result"
    jq -r --arg name "$name" '[$name, .events, .objects, (.bytesRead / 1048576 | floor), .seconds,
        (.events / .seconds | floor), .forgotten] | @tsv' "$work/result"
}
printf 'what\tevents\tobjects\tMiB read\tseconds\tevents/s\tforgotten\n'
measure 'in force'
measure draft -f "$work/draft.yaml"
awk '/VmHWM/ { printf "peak of resident memory: %.0f MiB\n", $2 / 1024 }' "/proc/$server/status"
