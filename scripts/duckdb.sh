#!/usr/bin/env bash
# DuckDB for Python, which tests compare answers with. Fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft.
#
# usage: scripts/duckdb.sh DIR    installs it; DIR/env then holds KEYLOFT_TEST_DUCKDB, the Python that has it
set -euo pipefail
[ $# = 1 ] || { echo "usage: scripts/duckdb.sh DIR" >&2; exit 2; }
dir=$(realpath -m "$1")
version=2.0.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/keyloft"
venv="$cache/duckdb-$version"

works() {
    [ "$("$venv/bin/python" -c 'import duckdb; print(duckdb.__version__)' 2>/dev/null)" = "$version" ]
}

mkdir -p "$cache" "$dir"
# Two test runs may need the package at once.
exec 3>"$cache/duckdb.lock"
flock 3
if ! works; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "duckdb==$version"
    works || { echo "duckdb $version was installed into $venv and does not work" >&2; exit 1; }
fi
exec 3>&-
echo "export KEYLOFT_TEST_DUCKDB=$venv/bin/python" >"$dir/env"
