#!/usr/bin/env bash
# A long run: three nodes on Ceph, ten streams, forty requests a second of twenty events each, a query a second, with
# compaction, and with retention: every stream keeps one day, and every two minutes each gets an object of a day long
# past. Such days must go: nodes look for them every ten minutes at COMPACTION_INTERVAL=10s, the default here. Prints a
# line a minute (memory of each node, objects, errors), and at the end whether every stream holds exactly what was
# acknowledged. Loopback only. usage: scripts/soak.sh [MINUTES=60]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
minutes=${1:-60}

keyloft=$(keyloft_program)
work=$(mktemp -d); server=; servers=()
end() {
    for server in "${servers[@]}"; do stop_keyloft; done
    scripts/ceph.sh stop "$work/ceph"
    rm -rf "$work"
}
trap end EXIT
scripts/ceph.sh start "$work/ceph"
# shellcheck disable=SC1091
. "$work/ceph/env"
export AWS_ENDPOINT="$KEYLOFT_TEST_CEPH" AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
export AWS_ACCESS_KEY_ID=KEYLOFT AWS_SECRET_ACCESS_KEY=KEYLOFTKEYLOFT
urls=()
for node in 1 2 3; do
    mkdir "$work/$node"
    start_keyloft "$work/$node" s3://keyloft/soak --log-filter warn --compaction-interval "${COMPACTION_INTERVAL:-10s}"
    servers+=("$server"); urls+=("$KEYLOFT_URL")
done
echo "$(build_and_machine "$keyloft"), $minutes minutes"
KEYLOFT_INGESTION_KEY=$(issue writer ingestion) KEYLOFT_QUERY_KEY=$(issue reader query)
export KEYLOFT_INGESTION_KEY KEYLOFT_QUERY_KEY
status=0
python3 scripts/soak.py "$minutes" "${urls[*]}" "${servers[*]}" || status=$?
grep -h WARN "$work"/[123]/log | sed -E 's/^[^ ]+ +//' | cut -c 1-160 | sort | uniq -c | sort -rn | head -n 20 || true
exit $status
