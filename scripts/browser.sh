#!/usr/bin/env bash
# A real browser (Chromium and ChromeDriver of Debian 12) on a free port of loopback, with nothing installed system-wide.
# The packages (about 155 MB) are fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/debian/browser.
#
# usage: scripts/browser.sh start DIR   starts the driver; DIR/env then holds KEYLOFT_TEST_BROWSER (its URL) and …_PROGRAM
#                                       (the Chromium that a session has to name)
#        scripts/browser.sh stop DIR    stops it, and every browser that it has started
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/browser.sh start|stop DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$2")
root="$keyloft_cache/debian/browser"
chromium="$root/usr/lib/chromium/chromium"

# The first font is that of every test, so that a screenshot looks the same everywhere.
packages='chromium chromium-driver fonts-dejavu-core'
# What only a desktop needs: windows, icons, services, graphics cards.
unneeded='adwaita-icon-theme|at-spi2-common|dbus.*|dconf-.*|dmsetup|gtk-.*|hicolor-icon-theme|libcryptsetup.*|libgl1.*'
unneeded+='|libglx.*|libgtk-3.*|libllvm.*|libpam-.*|libsystemd-shared|libz3-.*|mount|procps|shared-mime-info|systemd.*'
unneeded+='|x11-utils|xdg-utils'
fetch() {
    # shellcheck disable=SC2086 # a list of names
    unpack_debian "$1" "$unneeded" $packages
    # The libraries know their fonts and settings by absolute paths.
    cat >"$1/fonts.conf" <<FONTS
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
<dir>$1/usr/share/fonts</dir>
<cachedir prefix="xdg">fontconfig</cachedir>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
FONTS
}

# Where the libraries and the fonts are that were fetched, and a home that nothing else uses.
place() {
    echo "LD_LIBRARY_PATH=$(debian_libraries "$root"):$root/usr/lib/$(uname -m)-linux-gnu/pulseaudio"
    echo "FONTCONFIG_FILE=$root/fonts.conf"
    printf '%s\n' HOME="$1" XDG_CACHE_HOME="$1" XDG_CONFIG_HOME="$1" TMPDIR="$1"
}

# A page goes through all of it: the libraries that are loaded late, fonts, a renderer.
runs() {
    local home places status=0
    home=$(mktemp -d)
    mapfile -t places < <(place "$home")
    env "${places[@]}" "$root/usr/bin/chromedriver" --version &&
        env "${places[@]}" timeout 60 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
            --user-data-dir="$home/profile" --dump-dom 'data:text/html,<p>it runs</p>' | grep -F '<p>it runs</p>' || status=1
    rm -rf "$home"
    return $status
}

start() {
    mkdir -p "$dir/home"
    provide debian/browser "$packages less $unneeded, and fonts.conf" runs fetch
    trap '[ -e "$dir/env" ] || { stop; tail -n 20 "$dir/driver.out" >&2; }' EXIT
    local port places
    port=$(free_port)
    mapfile -t places < <(place "$dir/home")
    start_daemon "$dir/driver" env "${places[@]}" "$root/usr/bin/chromedriver" --port="$port" --log-level=WARNING \
        --log-path="$dir/driver.log"
    until_up "$dir/driver" curl -fs -m 2 -o /dev/null "http://127.0.0.1:$port/status"
    cat >"$dir/env" <<ENV
export KEYLOFT_TEST_BROWSER=http://127.0.0.1:$port
export KEYLOFT_TEST_BROWSER_PROGRAM=$chromium
ENV
}

# A driver that is killed leaves its browsers behind. Their profiles are in our home, which they say where they start.
stop() {
    local process
    end_daemon "$dir/driver" "--log-path=$dir/driver.log "
    for process in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -qF -- "=$dir/home/"; then
            kill -KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/browser.sh start|stop DIR" >&2; exit 2 ;;
esac
