#!/usr/bin/env bash
# How long a node takes until it is ready, in a local directory and in S3: without a snapshot, and with one; and then
# until it has verified its keys. Every number of keys is measured in a fresh folder; the directory is removed
# afterwards. S3 is measured when KEYLOFT_BENCH_S3 names a store (s3://bucket/prefix, with the AWS_* variables), or when
# scripts/with-stores.sh started one; what is written there stays. A million keys take long to write and 17 GiB of
# memory in Ceph: S3 has up to 100000 unless S3_KEYS says so, and scripts/garage.sh starts a store that is lighter on
# them.
#
# usage: scripts/bench-hydration.sh [KEYS…]                             default 10000 100000 1000000
#        scripts/with-stores.sh scripts/bench-hydration.sh [KEYS…]
#        scripts/garage.sh start DIR; . DIR/env; S3_KEYS=1000000 scripts/bench-hydration.sh [KEYS…]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
sizes=("$@"); [ ${#sizes[@]} -gt 0 ] || sizes=(10000 100000 1000000)
read -r -a s3_sizes <<<"${S3_KEYS:-10000 100000}"

if [ -z "${KEYLOFT_BENCH_S3:-}" ] && [ -n "${KEYLOFT_TEST_CEPH:-}" ]; then
    KEYLOFT_BENCH_S3=s3://keyloft
    export AWS_ENDPOINT="$KEYLOFT_TEST_CEPH" AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
    export AWS_ACCESS_KEY_ID="$KEYLOFT_TEST_ACCESS_KEY" AWS_SECRET_ACCESS_KEY="$KEYLOFT_TEST_SECRET_KEY"
fi

# A keystore alone: SQL and the server, which take long to build, are not needed.
bench=$(built hydration --release --no-default-features --features s3 --bench hydration)
work=$(mktemp -d "${TMPDIR:-/tmp}/keyloft-hydration.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Each size in a process of its own, so that the memory of one says nothing about the next.
for size in "${sizes[@]}"; do
    "$bench" "file://$work" "$size"
    rm -rf "${work:?}"/*
done
if [ -z "${KEYLOFT_BENCH_S3:-}" ]; then
    echo "s3: not run, no store is named"
    exit
fi
for size in "${s3_sizes[@]}"; do "$bench" "$KEYLOFT_BENCH_S3" "$size"; done
for size in "${sizes[@]}"; do
    [[ " ${s3_sizes[*]} " == *" $size "* ]] || echo "s3: $size keys not run, see S3_KEYS"
done
