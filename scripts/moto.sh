#!/usr/bin/env bash
# moto, an S3 service in one Python process, on loopback. Fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft.
#
# usage: scripts/moto.sh start DIR   starts it; DIR/env then holds KEYLOFT_TEST_MOTO
#        scripts/moto.sh stop DIR    stops what was started there; the objects are gone
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/moto.sh start|stop DIR" >&2; exit 2; }
dir=$(realpath -m "$2")
version=5.2.5
cache="${XDG_CACHE_HOME:-$HOME/.cache}/keyloft"
venv="$cache/moto-$version"

package() {
    [ ! -e "$venv/complete" ] || return 0
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "moto[server]==$version"
    touch "$venv/complete"
}

start() {
    mkdir -p "$cache" "$dir"
    # Two test runs may need the package at once.
    exec 3>"$cache/moto.lock"
    flock 3
    package
    exec 3>&-
    trap '[ -e "$dir/env" ] || stop' EXIT
    local port
    port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # In a session of its own, so that Ctrl-C in a terminal leaves it to `stop`.
    setsid nohup "$venv/bin/moto_server" -H 127.0.0.1 -p "$port" </dev/null >"$dir/moto.out" 2>&1 &
    echo $! >"$dir/moto.pid"
    for _ in $(seq 300); do
        curl -fs -m 2 -o "$dir/ping" "http://127.0.0.1:$port/" && break
        kill -0 "$(cat "$dir/moto.pid")" 2>/dev/null || { tail -n 20 "$dir/moto.out" >&2; exit 1; }
        sleep 0.2
    done
    curl -fsS -X PUT -o "$dir/ping" --aws-sigv4 aws:amz:us-east-1:s3 --user KEYLOFT:KEYLOFTKEYLOFT \
        -H "x-amz-content-sha256: $(printf '' | sha256sum | cut -d' ' -f1)" \
        "http://127.0.0.1:$port/keyloft"
    echo "export KEYLOFT_TEST_MOTO=http://127.0.0.1:$port" >"$dir/env"
}

stop() {
    [ -e "$dir/moto.pid" ] || return 0
    local pid
    pid=$(cat "$dir/moto.pid")
    # The number may belong to somebody else by now.
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$venv/bin/moto_server"; then
        kill -KILL "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    fi
    rm -f "$dir/moto.pid"
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/moto.sh start|stop DIR" >&2; exit 2 ;;
esac
