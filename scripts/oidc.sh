#!/usr/bin/env bash
# A real identity provider (npm oidc-provider, certified for OpenID Connect) on a free port of loopback, with nothing
# installed system-wide. Node (from PyPI, by checksum) and the packages of fixtures/oidc/package-lock.json are fetched
# once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft; no script of a package runs.
#
# usage: scripts/oidc.sh start DIR   starts it; DIR/env then holds KEYLOFT_TEST_OIDC (its issuer), and, for tests that
#                                    start one of their own, KEYLOFT_TEST_OIDC_NODE (the program) and …_PROGRAM (what it
#                                    runs, see fixtures/oidc/provider.mjs)
#        scripts/oidc.sh stop DIR    stops what was started there
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/oidc.sh start|stop DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$2")
fixture=$(realpath "$(dirname "$0")/../fixtures/oidc")

packages="$keyloft_cache/oidc-provider"

fetch() { node_packages "$1" "$fixture"; }
runs() { node --check "$packages/provider.mjs" && (cd "$packages" && node -e "import('oidc-provider')"); }

start() {
    mkdir -p "$dir"
    provide_node
    provide oidc-provider "$(cat "$fixture"/* | sha256sum)" runs fetch
    trap '[ -e "$dir/env" ] || { stop; tail -n 20 "$dir/oidc.out" >&2; }' EXIT
    local port
    port=$(free_port)
    start_daemon "$dir/oidc" env PORT="$port" "$(node_files)/bin/node" "$packages/provider.mjs" "--title=$dir/oidc"
    until_up "$dir/oidc" curl -fs -m 2 -o /dev/null "http://127.0.0.1:$port/.well-known/openid-configuration"
    cat >"$dir/env" <<ENV
export KEYLOFT_TEST_OIDC=http://127.0.0.1:$port
export KEYLOFT_TEST_OIDC_NODE=$(node_files)/bin/node
export KEYLOFT_TEST_OIDC_PROGRAM=$packages/provider.mjs
ENV
}

stop() {
    end_daemon "$dir/oidc" "--title=$dir/oidc "
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/oidc.sh start|stop DIR" >&2; exit 2 ;;
esac
