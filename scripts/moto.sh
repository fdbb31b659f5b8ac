#!/usr/bin/env bash
# moto, an S3 service in one Python process, on loopback. Fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft.
# Its conditional writes are not atomic: about once in 600 rounds of twelve racing creates, two succeed (measured with
# boto3 alone). No test that races runs on it.
#
# usage: scripts/moto.sh start DIR   starts it; DIR/env then holds KEYLOFT_TEST_MOTO
#        scripts/moto.sh stop DIR    stops what was started there; the objects are gone
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/moto.sh start|stop DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$2")
version=5.2.5
venv="$keyloft_cache/moto-$version"

fetch() { python_packages "$1" "moto[server]==$version"; }
runs() { "$venv/bin/python" -c 'import moto.server'; }

start() {
    mkdir -p "$dir"
    provide "moto-$version" "moto[server]==$version" runs fetch
    trap '[ -e "$dir/env" ] || { stop; tail -n 20 "$dir/moto.out" >&2; }' EXIT
    local port
    port=$(free_port)
    start_daemon "$dir/moto" "$venv/bin/moto_server" -H 127.0.0.1 -p "$port"
    until_up "$dir/moto" curl -fs -m 2 -o /dev/null "http://127.0.0.1:$port/"
    make_bucket "http://127.0.0.1:$port"
    echo "export KEYLOFT_TEST_MOTO=http://127.0.0.1:$port" >"$dir/env"
}

stop() {
    end_daemon "$dir/moto" "$venv/bin/moto_server"
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/moto.sh start|stop DIR" >&2; exit 2 ;;
esac
