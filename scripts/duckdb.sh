#!/usr/bin/env bash
# DuckDB for Python, which tests compare answers with. Fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft.
#
# usage: scripts/duckdb.sh DIR    installs it; DIR/env then holds KEYLOFT_TEST_DUCKDB, the Python that has it
set -euo pipefail
[ $# = 1 ] || { echo "usage: scripts/duckdb.sh DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$1")
version=2.0.0
venv="$keyloft_cache/duckdb-$version"

fetch() { python_packages "$1" "duckdb==$version"; }
runs() { [ "$("$venv/bin/python" -c 'import duckdb; print(duckdb.__version__)')" = "$version" ]; }

mkdir -p "$dir"
provide "duckdb-$version" "duckdb==$version" runs fetch
echo "export KEYLOFT_TEST_DUCKDB=$venv/bin/python" >"$dir/env"
