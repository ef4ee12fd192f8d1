# Shared by the tests of dist/; each starts with: . "$(dirname "$0")/lib.sh"
# shellcheck shell=sh
# shellcheck disable=SC2034 # used by those who source this
#
# A test runs in namespaces of its own, as if it had the machine to itself: nothing of what it mounts, starts or configures
# outlives it, however it ends. HA names the program, the static one by default.
#
#     here, the machine under test            the namespace `peer`, another server
#     eth0  10.0.0.11        ----cable----    eth0  10.0.0.12, worthiness 50
#                       10.0.0.100 is shared

set -eu
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin
target=${CARGO_TARGET_DIR:-target}
: "${HA:=$target/x86_64-unknown-linux-musl/release/ha}"
[ -x "$HA" ] || {
    echo "HA=$HA: expected the program; make builds it" >&2
    exit 2
}
HA=$(readlink -f "$HA")
export PATH HA

if [ "${HA_ALONE:-}" != "$$" ]; then
    # The shell that unshare starts is process 1 of its namespace.
    HA_ALONE=1 exec unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child --propagation private \
        -- sh -ec 'mount -t proc proc /proc; exec "$@"' - "$0" "$@"
fi

name=$(basename "$0")
shared=10.0.0.100/24
log=/run/log # of what happens
ok() { printf '    %s\n' "$*"; }
fail() {
    printf '%s: FAILED: %s\n' "$name" "$*" >&2
    tail -n 40 "$log" "$log".* 2>/dev/null >&2 || true
    exit 1
}

# await SECONDS WHAT COMMAND...: until it succeeds.
await() {
    limit=$(($(date +%s%N) / 1000000 + $1 * 1000)) what=$2
    shift 2
    until "$@"; do
        [ "$(($(date +%s%N) / 1000000))" -lt "$limit" ] || fail "waited in vain: $what"
        sleep 0.02
    done
    ok "$what"
}
# expect CODE TEXT COMMAND...: its exit code, and that what it says is one line with this text.
expect() {
    wanted=$1 text=$2 code=0
    shift 2
    said=$("$@" 2>&1) || code=$?
    echo "$* -> $code: $said" >>"$log"
    [ "$code" = "$wanted" ] || fail "$*: exit code $code, not $wanted: $said"
    case $said in *"$text"*) ;; *) fail "$*: says '$said', not '$text'" ;; esac
    [ "$(printf '%s\n' "$said" | wc -l)" = 1 ] || fail "$*: one line is expected: $said"
    [ $# = 1 ] || shift
    ok "$*: $said"
}
has() { ip -o -4 address show dev eth0 | grep -qwF "$shared"; }
has_not() { ! has; }
peer_has() { ip -n peer -o -4 address show dev eth0 | grep -qwF "$shared"; }
only_here() { has && ! peer_has; }
# The daemons, without their workers, whose configuration is this file: their parent is process 1.
daemons() { pgrep -P 1 -f "ha run --config ${1:-/etc/ha.conf}" || true; }
# shellcheck disable=SC2120 # the file may be another one
one_daemon() { [ "$(daemons "$@" | wc -l)" = 1 ]; }
no_daemon() { [ -z "$(daemons "$@")" ]; }

trap 'exit 130' INT TERM # process 1 is spared otherwise
mount -t tmpfs -o mode=755 run /run # as on every system: nobody else may put files there
mkdir -p /run/netns
ip link set lo up
ip netns add peer
ip -n peer link set lo up
ip link add eth0 type veth peer name eth0 netns peer
ip address add 10.0.0.11/24 dev eth0
ip -n peer address add 10.0.0.12/24 dev eth0
ip link set eth0 up
ip -n peer link set eth0 up

# busybox_root DIR: a root directory with nothing but busybox, the program, and who is root and nobody.
busybox_root() {
    (cd "$(mktemp -d -p /run)" && mkdir -p bin sbin usr/bin usr/sbin etc/init.d proc dev var/run var/log tmp && mv "$PWD" "$1")
    chmod 755 "$1"
    cp "$(command -v busybox)" "$1/bin/busybox"
    chroot "$1" /bin/busybox --install -s || fail "a static busybox is wanted: apt-get install busybox-static"
    cp "$HA" "$1/usr/sbin/ha"
    printf 'root::0:0::/:/bin/sh\nnobody::65534:65534::/:/bin/false\n' >"$1/etc/passwd"
    mount -t proc proc "$1/proc"
    touch "$1/dev/null"
    mount --bind /dev/null "$1/dev/null"
}
# layer_root DIR: a copy of this system, in memory; what differs is in /run/layers/upper.
layer_root() {
    mkdir -p "$1" /run/layers
    mount -t tmpfs layers /run/layers
    mkdir /run/layers/upper /run/layers/work
    mount -t overlay -o lowerdir=/,upperdir=/run/layers/upper,workdir=/run/layers/work root "$1"
}
# start_syslogd DIR: busybox' own, to its /var/log/messages.
start_syslogd() {
    chroot "$1" /sbin/syslogd -n -O /var/log/messages &
    await 5 'syslogd listens' test -S "$1/dev/log"
}

# Quick, so that the test is; without a port that is deaf at first.
quick='interval = 100ms
tolerance = 350ms
link-delay = 0s'

# The other server, which takes over when this one leaves.
start_peer() {
    printf 'interface = eth0\naddress = %s\nworthiness = 50\n%s\n%s\n' "$shared" "$quick" "${*:-}" >/run/peer.conf
    ip netns exec peer "$HA" run --config /run/peer.conf 2>"$log.peer" &
    await 5 'the peer has the address' peer_has
}
