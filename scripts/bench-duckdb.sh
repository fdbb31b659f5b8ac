#!/usr/bin/env bash
# SQL over HTTP beside DuckDB on the same Parquet objects: seven queries over ROWS bird strikes (default 3,000,000),
# compacted, both with as many threads as this machine has cores. The two take turns, ROUNDS times (default 15); printed
# are medians and their ratio, and before them the first two times that Keyloft is asked, in which it reads columns from
# the store that it keeps from then on. Both must give the same answers. Loopback only.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
rows=${ROWS:-3000000}; rounds=${ROUNDS:-15}

keyloft=$(keyloft_program)
work=$(mktemp -d); server=
trap 'stop_keyloft; rm -rf "$work"' EXIT
scripts/duckdb.sh "$work/duckdb"
. "$work/duckdb/env"
start_keyloft "$work" "$work/store" --log-filter warn --compaction-interval 1s
echo "$(build_and_machine "$keyloft"), $rows rows, medians of $rounds turns"
KEYLOFT_INGESTION_KEY=$(issue writer ingestion) KEYLOFT_QUERY_KEY=$(issue reader query)
export KEYLOFT_INGESTION_KEY KEYLOFT_QUERY_KEY

"$KEYLOFT_TEST_DUCKDB" scripts/bench-duckdb.py "$rows" "$rounds"
