#!/usr/bin/env bash
# A real Redis (redis-server of Debian 12, 7.0.15) on a free port of loopback, with nothing installed system-wide and
# nothing kept on disk. The packages are fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/redis.
#
# usage: scripts/redis.sh start DIR   starts it; DIR/env then holds KEYLOFT_TEST_REDIS (its URL), …_PID, and, for tests
#                                     that start one of their own to end it, …_SERVER (the program) and …_LIBRARIES
#        scripts/redis.sh stop DIR    stops what was started there
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/redis.sh start|stop DIR" >&2; exit 2; }
dir=$(realpath -m "$2")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/redis"
root="$cache/root"
server="$root/usr/bin/redis-server"
libraries="$root/usr/lib/$(uname -m)-linux-gnu:$root/lib/$(uname -m)-linux-gnu"

# Package lists of its own: those of the machine may be old or absent, and are not ours to renew.
apt() {
    mkdir -p "$cache"/{debs,lists/partial,archives/partial}
    apt-get -q -o Dir::State::Lists="$cache/lists" -o Dir::Cache="$cache" -o APT::Sandbox::User=root "$@"
}

packages() {
    [ ! -e "$cache/complete" ] || return 0
    command -v apt-get >/dev/null || { echo "Redis is that of Debian 12: there is no apt-get" >&2; exit 1; }
    rm -rf "$root"
    apt update >/dev/null
    local wanted
    # redis-server is a link to a program of redis-tools.
    wanted=$(apt install -s --no-install-recommends redis-server | awk '/^Inst/ { print $2 }')
    # shellcheck disable=SC2086
    (cd "$cache/debs" && apt download $wanted redis-tools >/dev/null)
    for package in "$cache"/debs/*.deb; do dpkg -x "$package" "$root"; done
    rm -rf "$cache"/{debs,lists,archives} "$cache"/*.bin
    touch "$cache/complete"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

is_up() {
    LD_LIBRARY_PATH="$libraries" "$root/usr/bin/redis-cli" -p "$1" ping 2>/dev/null | grep -q PONG
}

start() {
    mkdir -p "$cache" "$dir"
    # Two test runs may need the packages at once.
    exec 3>"$cache/lock"
    flock 3
    packages
    exec 3>&-
    trap '[ -e "$dir/env" ] || { stop; tail -n 20 "$dir/redis.out" >&2; }' EXIT
    local port
    port=$(free_port)
    # In a session of its own, so that Ctrl-C in a terminal leaves it to `stop`.
    LD_LIBRARY_PATH="$libraries" setsid nohup "$server" --bind 127.0.0.1 --port "$port" --save '' --appendonly no \
        --dir "$dir" </dev/null >"$dir/redis.out" 2>&1 &
    echo $! >"$dir/redis.pid"
    for _ in $(seq 100); do
        is_up "$port" && break
        kill -0 "$(cat "$dir/redis.pid")" 2>/dev/null || exit 1
        sleep 0.1
    done
    is_up "$port"
    cat >"$dir/env" <<ENV
export KEYLOFT_TEST_REDIS=redis://127.0.0.1:$port/0
export KEYLOFT_TEST_REDIS_PID=$(cat "$dir/redis.pid")
export KEYLOFT_TEST_REDIS_SERVER=$server
export KEYLOFT_TEST_REDIS_LIBRARIES=$libraries
ENV
}

stop() {
    [ -e "$dir/redis.pid" ] || return 0
    local pid
    pid=$(cat "$dir/redis.pid")
    # The number may belong to somebody else by now; its own title replaces the path that it was started by.
    if grep -qx redis-server "/proc/$pid/comm" 2>/dev/null && [ "$(realpath "/proc/$pid/cwd")" = "$dir" ]; then
        kill -KILL "$pid" 2>/dev/null || true # Nothing of it is kept; this ends a paused one too.
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    fi
    rm -f "$dir/redis.pid"
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/redis.sh start|stop DIR" >&2; exit 2 ;;
esac
