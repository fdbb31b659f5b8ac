#!/usr/bin/env bash
# nginx and Caddy of Debian 12, unpacked into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/debian/proxies; nothing is
# installed system-wide. The test of the README's TLS section (tests/it/docs/tls.rs) and scripts/bench-http.sh run them.
#
# usage: scripts/proxies.sh   fetches them if needed and prints the folder with usr/sbin/nginx and usr/bin/caddy
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
root="$keyloft_cache/debian/proxies"

fetch() { unpack_debian "$1" 'nginx-common|iproute2' nginx caddy; }
runs() {
    LD_LIBRARY_PATH="$(debian_libraries "$root")" "$root/usr/sbin/nginx" -v && "$root/usr/bin/caddy" version
}

provide debian/proxies 'nginx caddy' runs fetch >&2
echo "$root"
