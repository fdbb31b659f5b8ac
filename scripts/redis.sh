#!/usr/bin/env bash
# A real Redis (redis-server of Debian 12, 7.0.15) on a free port of loopback, with nothing installed system-wide and
# nothing kept on disk. The packages are fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/debian/redis.
#
# usage: scripts/redis.sh start DIR   starts it; DIR/env then holds KEYLOFT_TEST_REDIS (its URL), …_PID, and, for tests
#                                     that start one of their own to end it, …_SERVER (the program) and …_LIBRARIES
#        scripts/redis.sh stop DIR    stops what was started there
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/redis.sh start|stop DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$2")
root="$keyloft_cache/debian/redis"

# redis-server is a link to a program of redis-tools.
fetch() { unpack_debian "$1" '' redis-server redis-tools; }
redis() {
    local program=$1
    shift
    LD_LIBRARY_PATH="$(debian_libraries "$root")" "$root/usr/bin/$program" "$@"
}
runs() { redis redis-server --version && redis redis-cli --version; }

start() {
    mkdir -p "$dir"
    provide debian/redis 'redis-server redis-tools' runs fetch
    trap '[ -e "$dir/env" ] || { stop; tail -n 20 "$dir/redis.out" >&2; }' EXIT
    local port
    port=$(free_port)
    # Its command line stays as it is, so that `stop` recognises it.
    start_daemon "$dir/redis" env LD_LIBRARY_PATH="$(debian_libraries "$root")" "$root/usr/bin/redis-server" \
        --bind 127.0.0.1 --port "$port" --save '' --appendonly no --dir "$dir" --set-proc-title no
    until_up "$dir/redis" redis redis-cli -e -p "$port" ping
    cat >"$dir/env" <<ENV
export KEYLOFT_TEST_REDIS=redis://127.0.0.1:$port/0
export KEYLOFT_TEST_REDIS_PID=$(cat "$dir/redis.pid")
export KEYLOFT_TEST_REDIS_SERVER=$root/usr/bin/redis-server
export KEYLOFT_TEST_REDIS_LIBRARIES=$(debian_libraries "$root")
ENV
}

stop() {
    end_daemon "$dir/redis" "--dir $dir "
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/redis.sh start|stop DIR" >&2; exit 2 ;;
esac
