#!/usr/bin/env bash
# A real Ceph object store (RADOS gateway of Debian 12, 16.2.15) on loopback, with nothing installed system-wide: a
# monitor, one OSD that keeps everything in memory, and two gateways over the same objects. Tests may pause or kill the
# second one, the victim. Packages are fetched once into ${XDG_CACHE_HOME:-$HOME/.cache}/keyloft/debian/ceph.
#
# usage: scripts/ceph.sh start DIR   starts it; DIR/env then holds KEYLOFT_TEST_CEPH, …_VICTIM and …_VICTIM_PID
#        scripts/ceph.sh stop DIR    stops what was started there; the objects are gone
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/ceph.sh start|stop DIR" >&2; exit 2; }
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(realpath -m "$2")
root="$keyloft_cache/debian/ceph"
libraries="$root/usr/lib/$(uname -m)-linux-gnu"
conf="$dir/ceph.conf"
fsid=11111111-2222-3333-4444-555555555555

packages=(ceph-mon ceph-osd radosgw ceph-common)
# Dependencies of Ceph for disks, users, web pages and packaging, which nothing here uses.
unneeded='sudo|lvm2|dmeventd|parted|smartmontools|nvme-cli|hdparm|gdisk|logrotate|cryptsetup-bin|dmidecode|xfsprogs'
unneeded+='|uuid-runtime|cron.*|e2fsprogs|logsave|openssl|ca-certificates|media-types|psmisc|sensible-utils'
unneeded+='|(lib)?binutils.*|libctf.*|libgprofng0|python3-(requests|urllib3|chardet|certifi|idna|charset-normalizer)'

fetch() { unpack_debian "$1" "$unneeded" "${packages[@]}"; }
# The programs find their libraries and their own Python.
enter_environment() {
    export LD_LIBRARY_PATH="$(debian_libraries "$root"):$libraries/ceph" PATH="$root/usr/bin:$PATH"
    export PYTHONHOME="$root/usr" PYTHONPATH="$root/usr/lib/python3/dist-packages" PYTHONDONTWRITEBYTECODE=1
}
runs() (
    enter_environment
    for program in ceph-mon ceph-osd radosgw monmaptool ceph-authtool radosgw-admin; do "$program" --version || exit; done
    python3 "$root/usr/bin/ceph" --version
)

write_conf() {
    cat >"$conf" <<CONF
[global]
fsid = $fsid
mon host = v1:127.0.0.1:$1
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon max pg per osd = 1000
mon allow pool size one = true
# Start even if the developer's disk is nearly full: the objects are in memory.
mon data avail crit = 0
mon data avail warn = 0
run dir = $dir/run
admin socket = $dir/run/\$name.asok
mon cluster log file = $dir/log/cluster.log
pid file = $dir/run/\$name.pid
log file = $dir/log/\$name.log
plugin dir = $libraries/ceph
erasure code dir = $libraries/ceph/erasure-code
osd class dir = $libraries/rados-classes
osd class load list = *
osd class default list = *
ms bind ipv6 = false
# The defaults record much for crash reports, which costs time in every request.
debug ms = 0/0
debug osd = 0/0
debug rgw = 0/0
debug objecter = 0/0
debug objclass = 0/0
debug memstore = 0/0
debug context = 0/0
debug auth = 0/0
debug optracker = 0/0
debug tp = 0/0
debug throttle = 0/0
debug finisher = 0/0
debug rados = 0/0
debug buffer = 0/0
debug timer = 0/0
debug perfcounter = 0/0
public network = 127.0.0.0/8
[mon.a]
mon data = $dir/data/mon
[osd]
osd data = $dir/data/osd0
osd objectstore = memstore
# The commands below register it with the monitor; on its own it may ask too early and give up ("wrong fsid").
osd crush update on start = false
osd class update on start = false
memstore device bytes = 12884901888
# Without tcp_nodelay, every answer with a body waits 40 ms for the client's delayed acknowledgement.
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$2 tcp_nodelay=1
rgw data = $dir/data/rgw
[client.victim]
rgw frontends = beast endpoint=127.0.0.1:$3 tcp_nodelay=1
rgw data = $dir/data/victim
CONF
}

# daemon NAME COMMAND…
daemon() {
    local name=$1
    shift
    start_daemon "$dir/log/$name" "$@" -c "$conf" -f
}

# A monitor that has just started may refuse a client or keep it waiting, so it is asked again.
ceph() {
    for _ in $(seq 20); do
        timeout 5 python3 "$root/usr/bin/ceph" -c "$conf" "$@" >/dev/null 2>>"$dir/log/ceph.out" && return
        sleep 0.3
    done
    return 1
}

# steady NAME COMMAND…: a daemon that is started again when the monitor refuses it.
steady() {
    for _ in 1 2 3 4 5; do
        daemon "$@"
        sleep 1
        if is_alive "$dir/log/$1"; then return; fi
    done
    return 1
}

# until_answers PORT NAME
until_answers() {
    for _ in $(seq 300); do
        curl -fs -m 2 "http://127.0.0.1:$1/" >/dev/null && return
        is_alive "$dir/log/mon" && is_alive "$dir/log/osd" && is_alive "$dir/log/$2" || break
        sleep 0.2
    done
    return 1
}

give_up() {
    stop
    tail -n 20 "$dir"/log/*.out >&2 || true
    echo "Ceph cannot be started" >&2
}

start() {
    mkdir -p "$dir"/{run,log,data/mon,data/osd0,data/rgw,data/victim}
    provide debian/ceph "${packages[*]} without $unneeded" runs fetch
    trap '[ -e "$dir/env" ] || give_up' EXIT
    local mon gateway victim
    mon=$(free_port) gateway=$(free_port) victim=$(free_port)
    enter_environment
    write_conf "$mon" "$gateway" "$victim"
    monmaptool --create --clobber --fsid "$fsid" --addv a "[v1:127.0.0.1:$mon]" "$dir/monmap" >/dev/null
    ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    daemon mon ceph-mon -i a
    ceph mon stat
    local osd
    osd=$(cat /proc/sys/kernel/random/uuid)
    ceph osd new "$osd"
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd" >"$dir/log/mkfs.out" 2>&1
    steady osd ceph-osd -i 0
    ceph osd crush add osd.0 1.0 host=here root=default
    steady rgw radosgw -n client.rgw
    until_answers "$gateway" rgw
    # Only now: two gateways that create their pools at once conflict.
    steady victim radosgw -n client.victim
    radosgw-admin -c "$conf" -n client.rgw user create --uid=keyloft --display-name=keyloft \
        --access-key=KEYLOFT --secret-key=KEYLOFTKEYLOFT >/dev/null 2>>"$dir/log/admin.out"
    until_answers "$victim" victim
    make_bucket "http://127.0.0.1:$gateway"
    cat >"$dir/env" <<ENV
export KEYLOFT_TEST_CEPH=http://127.0.0.1:$gateway
export KEYLOFT_TEST_CEPH_VICTIM=http://127.0.0.1:$victim
export KEYLOFT_TEST_CEPH_VICTIM_PID=$(cat "$dir/log/victim.pid")
ENV
}

stop() {
    local name
    for name in victim rgw osd mon; do end_daemon "$dir/log/$name" "$conf"; done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) echo "usage: scripts/ceph.sh start|stop DIR" >&2; exit 2 ;;
esac
