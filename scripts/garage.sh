#!/usr/bin/env bash
# Garage 2.5.0, a light S3 server, on loopback: for benchmarks of reading, where Ceph would take most of the processor and
# 16 KiB of memory for every key. It ignores conditions of writes, so Keyloft refuses to change keys there (keyloft store
# check tells), and benchmarks fill it without conditions. It is built once (some 10 minutes on two cores) into
# ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/garage.
#
# usage: scripts/garage.sh start DIR   starts it with its objects in DIR; DIR/env then names the store for benchmarks
#        scripts/garage.sh stop DIR    stops what was started there
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/garage.sh start|stop DIR" >&2; exit 2; }
dir=$(realpath -m "$2")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/garage"
conf="$dir/garage.toml"
# Garage wants the form of its own keys. Nothing but this server knows them.
access_key=GK31c2f218a2e44f485b94239e
secret_key=$(printf '7a%.0s' {1..32})

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

install() {
    mkdir -p "$cache"
    exec 3>"$cache/lock"
    flock 3
    [ -x "$cache/bin/garage" ] || CARGO_TARGET_DIR="$cache/target" CARGO_PROFILE_RELEASE_LTO=off \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install garage@2.5.0 --quiet --locked --no-default-features \
        --features bundled-libs,lmdb --root "$cache"
    rm -rf "$cache/target"
    exec 3>&-
}

garage() {
    "$cache/bin/garage" -c "$conf" "$@"
}

start() {
    install
    mkdir -p "$dir"
    local s3 rpc
    s3=$(free_port) rpc=$(free_port)
    cat >"$conf" <<CONF
metadata_dir = "$dir/meta"
data_dir = "$dir/data"
db_engine = "lmdb"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:$rpc"
rpc_public_addr = "127.0.0.1:$rpc"
rpc_secret = "$(printf '00%.0s' {1..32})"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:$s3"
CONF
    RUST_LOG=error setsid nohup "$cache/bin/garage" -c "$conf" server </dev/null >"$dir/out" 2>&1 &
    echo $! >"$dir/pid"
    disown -a
    for _ in $(seq 100); do
        if garage status >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    {
        garage layout assign -z here -c 20G "$(garage node id -q | cut -c1-16)"
        garage layout apply --version 1
        garage key import --yes "$access_key" "$secret_key" -n keyloft
        garage bucket create keyloft
        garage bucket allow --read --write --owner keyloft --key "$access_key"
    } >/dev/null 2>"$dir/setup.out" || { cat "$dir/setup.out" >&2; stop; exit 1; }
    cat >"$dir/env" <<ENV
export KEYLOFT_BENCH_S3=s3://keyloft AWS_ENDPOINT=http://127.0.0.1:$s3 AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
export AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key
ENV
}

stop() {
    local pid
    [ -e "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    # The number may belong to somebody else by now.
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$conf"; then
        kill -KILL "$pid"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    fi
    rm -f "$dir/pid"
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/garage.sh start|stop DIR" >&2; exit 2 ;;
esac
