#!/usr/bin/env bash
# Makes a store as BINARY, an older version of Keyloft, leaves it behind: DIR/store, and DIR/keys.json with the API keys
# and the admin token that open it. The days of its events are fixed and in the past, so it needs faketime, and curl and
# jq. What is made is described in fixtures/stores/before-compaction/README.md and committed there.
#
# usage: scripts/make-old-store.sh BINARY DIR
set -euo pipefail
[ $# = 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
keyloft=$(realpath "$1")
mkdir -p "$2"
dir=$(realpath "$2"); store=$dir/store
[ ! -e "$store" ] || { echo "$store is there already" >&2; exit 1; }
for program in faketime curl jq; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 1; }
done

work=$(mktemp -d); server=
end() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"; }
trap end EXIT
unset KEYLOFT_ADMIN_TOKEN
export TZ=UTC KEYLOFT_URL
echo '{}' >"$work/keys.json"

# start INSTANT ARGUMENT…: starts the server as if it were that instant, and waits until it is ready.
start() {
    local instant=$1
    shift
    : >"$work/greeting"
    # Without the program `faketime` in between, which would not pass signals on.
    LD_PRELOAD=$preload FAKETIME="@$instant" FAKETIME_DONT_FAKE_MONOTONIC=1 \
        "$keyloft" serve --listen 127.0.0.1:0 --store "$store" "$@" >"$work/greeting" 2>>"$work/log" & server=$!
    until grep -q 'http://' "$work/greeting"; do
        kill -0 "$server" 2>/dev/null || { tail -n 5 "$work/log" >&2; exit 1; }
        sleep 0.1
    done
    KEYLOFT_URL=$(grep -o 'http://[0-9.:]*' "$work/greeting" | head -n 1)
    until curl -fs "$KEYLOFT_URL/api/v1/readiness" | grep -q '"verified":true'; do sleep 0.1; kill -0 "$server"; done
}
stop() { kill "$server"; wait "$server" || true; server=; }
preload=$(faketime -f '@2026-11-20 10:00:00' sh -c 'echo "$LD_PRELOAD"')

# keep NAME VALUE: into keys.json.
keep() {
    jq --arg name "$1" --arg value "$2" '.[$name] = $value' "$work/keys.json" >"$work/new"
    mv "$work/new" "$work/keys.json"
}
key() { jq -re --arg name "$1" '.[$name]' "$work/keys.json"; }

# issue TENANT NAME TYPE ARGUMENT…: a key that Keyloft generates; kept as TENANT/NAME.
issue() {
    local tenant=$1 name=$2 type=$3
    shift 3
    "$keyloft" key create --tenant "$tenant" --name "$name" --type "$type" --json "$@" >"$work/issued"
    keep "$tenant/$name" "$(jq -re .apiKey "$work/issued")"
}
# import TENANT NAME TYPE: a key with a secret that says what it is.
import() {
    local secret="old-store-fixture-$1-$2-is-no-secret"
    "$keyloft" key create --tenant "$1" --name "$2" --type "$3" --api-key-stdin <<<"$secret" >/dev/null
    keep "$1/$2" "$secret"
}

# send KEY STREAM: events from standard input, in one request, which makes one object.
send() {
    curl -fsS -o /dev/null "$KEYLOFT_URL/api/v1/logstream/$2" -H "X-API-KEY: $(key "$1")" \
        -H 'Content-Type: application/x-ndjson' --data-binary @-
}
# web FROM TO SECONDS: events with these numbers; they take n seconds and SECONDS more.
web() {
    jq -nc --argjson from "$1" --argjson to "$2" --argjson more "$3" 'range($from; $to + 1) | {
        n: ., path: "/page/\(. % 7)", status: (if . % 5 == 0 then 503 else 200 end), seconds: (. + $more),
        client: {os: (if . % 2 == 0 then "Linux" else "macOS" end), version: {major: (. % 3)}}, tags: ["a", .],
        ok: (. % 5 != 0), note: (if . % 3 == 0 then "every third, ünï 🦀" else null end)}'
}

# The first day: an admin token, tenants, and keys of both types. Beside them 992 documents that somebody put there, so
# that the last of the 1,001 keys is worth a snapshot.
keys=$store/.settings/apikeys
mkdir -p "$keys"
for n in $(seq 992); do
    digest=$(sha256sum <<<"passing-$n")
    jq -nc --arg name "passing-$n" --arg digest "sha256:${digest%% *}" \
        '{version: 1, keyName: $name, keyType: "ingestion", digest: $digest}' \
        >"$keys/$(printf 'ffffffff-ffff-4fff-8fff-%012d' "$n").json"
done
start '2026-11-20 10:00:00' --sync-reconcile-interval 2s
keep admin "$(grep -o 'kl_adm_[0-9A-Za-z]*' "$work/greeting" | head -n 1)"
KEYLOFT_ADMIN_TOKEN=$(key admin); export KEYLOFT_ADMIN_TOKEN
"$keyloft" tenant create acme --name 'Acme' >/dev/null
import default writer ingestion
import default reader query
issue default system query --streams 'keyloft_*'
import acme writer ingestion
import acme reader query
issue default generated query
issue default rotated query
issue default revoked ingestion
issue default limited ingestion --streams 'web,metrics-*' --source-id shop --trust-level high \
    --allowed-cidrs 127.0.0.0/8 --requests-per-minute 60:20 --events-per-minute 1000 --metadata '{"team": "payments"}'
until ls "$store"/.settings/keyloft/snapshots/*/*.zst >/dev/null 2>&1; do sleep 0.2; done
stop

# Events of three days. The documents are gone again, which the change log says.
rm "$keys"/ffffffff-*.json
start '2026-11-20 11:00:00'
"$keyloft" key revoke revoked >/dev/null
keep default/rotated-before "$(key default/rotated)"
keep default/rotated "$("$keyloft" key rotate rotated --overlap 1h --json | jq -re .apiKey)"
for n in $(seq 1 5 56); do web "$n" $((n + 4)) 0 | send default/writer web; done
web 1 4 0 | send acme/writer web
for _ in 1 2; do
    jq -nc '[range(300) | {key: "field_\(.)", value: .}] | from_entries' | send default/writer wide
done
jq -nc '{only: "one"}' | send default/writer lonely
stop
start '2026-11-21 11:00:00'
# From here on `seconds` is a float, also in the rows that were stored as integers.
for n in $(seq 61 4 97); do web "$n" $((n + 3)) 0.5 | send default/writer web; done
jq -nc '[range(100; 400) | {key: "field_\(.)", value: .}] | from_entries' | send default/writer wide
web 101 103 0 | send default/limited web
"$keyloft" stream update web --on-invalid quarantine >/dev/null
{ web 104 104 0; echo '{"n": "a text"}'; } | send default/writer web
stop
start '2026-11-22 11:00:00'
for n in 105 106 107; do web "$n" "$n" 0.5 | send default/writer web; done
web 5 8 0.5 | send acme/writer web
stop

jq -S . "$work/keys.json" >"$dir/keys.json"
du -sh "$store" >&2
