#!/usr/bin/env bash
# The public client of ALTCHA (npm altcha-lib), which tests let solve and verify our challenges. Node and the package of
# fixtures/altcha/package-lock.json are fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft.
#
# usage: scripts/altcha.sh DIR    installs it; DIR/env then holds KEYLOFT_TEST_ALTCHA (the program, see
#                                 fixtures/altcha/client.mjs) and …_NODE (what runs it)
set -euo pipefail
[ $# = 1 ] || { echo "usage: scripts/altcha.sh DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$1")
fixture=$(realpath "$(dirname "$0")/../fixtures/altcha")
packages="$keyloft_cache/altcha-lib"

fetch() { node_packages "$1" "$fixture"; }
runs() { node --check "$packages/client.mjs" && (cd "$packages" && node -e "import('altcha-lib')"); }

mkdir -p "$dir"
provide_node
provide altcha-lib "$(cat "$fixture"/* | sha256sum)" runs fetch
cat >"$dir/env" <<ENV
export KEYLOFT_TEST_ALTCHA=$packages/client.mjs
export KEYLOFT_TEST_ALTCHA_NODE=$(node_files)/bin/node
ENV
