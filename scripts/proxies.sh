#!/usr/bin/env bash
# nginx and Caddy of Debian 12, unpacked into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/proxies; nothing is installed
# system-wide. The test of the README's TLS section runs them (tests/it/docs/tls.rs).
#
# usage: scripts/proxies.sh   prints the folder that holds usr/sbin/nginx and usr/bin/caddy, after fetching them if needed
set -euo pipefail
cache="${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/proxies"
root="$cache/root"
# By name: what the machine has installed must not change what is fetched. The libraries are those of nginx.
packages=(nginx caddy libcrypt1 libpcre2-8-0 libssl3 zlib1g)

# Package lists of its own: those of the machine may be old or absent, and are not ours to renew.
apt() {
    mkdir -p "$cache"/{debs,lists/partial,archives/partial}
    apt-get -q -o Dir::State::Lists="$cache/lists" -o Dir::Cache="$cache" -o APT::Sandbox::User=root "$@"
}

works() {
    local libraries
    libraries="$root/usr/lib/$(uname -m)-linux-gnu:$root/lib/$(uname -m)-linux-gnu"
    LD_LIBRARY_PATH="$libraries" "$root/usr/sbin/nginx" -v >/dev/null 2>&1 && "$root/usr/bin/caddy" version >/dev/null 2>&1
}

fetch() {
    command -v apt-get >/dev/null || { echo "nginx and Caddy are those of Debian 12: there is no apt-get" >&2; exit 1; }
    rm -rf "$root" "$cache/debs"
    apt update >/dev/null
    (cd "$cache/debs" && apt download "${packages[@]}" >/dev/null)
    for package in "$cache"/debs/*.deb; do dpkg -x "$package" "$root"; done
    rm -rf "$cache"/{debs,lists,archives} "$cache"/*.bin
    works || { echo "nginx or Caddy does not start: see $root" >&2; exit 1; }
}

mkdir -p "$cache"
# Two test runs may need the packages at once.
exec 3>"$cache/lock"
flock 3
works || fetch >&2
echo "$root"
