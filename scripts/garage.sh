#!/usr/bin/env bash
# Garage 2.5.0, a light S3 server, on loopback. Benchmarks of reading use it, because Ceph would take most of the
# processor and 16 KiB of memory per key. It ignores conditional writes: Keyloft refuses to change keys there (keyloft store check
# reports it), and benchmarks fill it without conditions. It is built once (about 10 minutes on two cores) into
# ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/garage.
#
# usage: scripts/garage.sh start DIR   starts it with its objects in DIR; DIR/env then names the store for benchmarks
#        scripts/garage.sh stop DIR    stops what was started there
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/garage.sh start|stop DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$2")
program="$keyloft_cache/garage/bin/garage"
conf="$dir/garage.toml"
# Garage requires keys of its own form. Only this server accepts them.
access_key=GK31c2f218a2e44f485b94239e
secret_key=$(printf '7a%.0s' {1..32})

fetch() {
    CARGO_TARGET_DIR="$1/target" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        cargo install garage@2.5.0 --quiet --locked --no-default-features --features bundled-libs,lmdb --root "$1"
    rm -rf "$1/target"
}
runs() { "$program" --version; }

garage() {
    "$program" -c "$conf" "$@"
}

start() {
    provide garage garage@2.5.0 runs fetch
    mkdir -p "$dir"
    trap '[ -e "$dir/env" ] || { stop; tail -n 20 "$dir"/*.out >&2; }' EXIT
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
    start_daemon "$dir/garage" env RUST_LOG=error "$program" -c "$conf" server
    until_up "$dir/garage" garage status
    {
        garage layout assign -z here -c 20G "$(garage node id -q | cut -c1-16)"
        garage layout apply --version 1
        garage key import --yes "$access_key" "$secret_key" -n keyloft
        garage bucket create keyloft
        garage bucket allow --read --write --owner keyloft --key "$access_key"
    } >/dev/null 2>"$dir/setup.out"
    cat >"$dir/env" <<ENV
export KEYLOFT_BENCH_S3=s3://keyloft AWS_ENDPOINT=http://127.0.0.1:$s3 AWS_REGION=us-east-1 AWS_ALLOW_HTTP=true
export AWS_ACCESS_KEY_ID=$access_key AWS_SECRET_ACCESS_KEY=$secret_key
ENV
}

stop() {
    end_daemon "$dir/garage" "$conf"
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/garage.sh start|stop DIR" >&2; exit 2 ;;
esac
