# Machines on a LAN of their own, in namespaces that end with the script that sources this, however it ends:
#
#   LOGS=directory        where each machine's serial console is written to
#   . "$(dirname "$0")/lan.sh" "$@"
#
#   number 1: 10.77.0.11       number 2: 10.77.0.12     client 10.77.0.200
#   02:00:00:00:00:01          02:00:00:00:00:02        02:00:00:00:00:c8     10.77.0.100 and 2001:db8:77::100 are shared
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # used by those who source this, and set by a machine's file

set -eu
if [ "${HA_ALONE:-}" != "$$" ]; then
    HA_ALONE=1 exec unshare --mount --net --pid --fork --kill-child --propagation private \
        -- sh -ec 'mount -t proc proc /proc; exec "$@"' - "$0" "$@"
fi
trap 'exit 130' INT TERM # process 1 is spared otherwise
mount -t tmpfs run /run

fail() {
    echo "${0##*/}: FAILED: $*" >&2
    for log in "$LOGS"/*.log; do
        echo "--- $log" >&2
        tail -n 30 "$log" >&2
    done
    exit 1
}
ms() { echo $(($(date +%s%N) / 1000000)); }
# await SECONDS WHAT COMMAND...
await() {
    limit=$(($(ms) + $1 * 1000)) what=$2
    shift 2
    until "$@"; do
        [ "$(ms)" -lt "$limit" ] || fail "waited in vain: $what"
        sleep 0.05
    done
}

ip link set lo up
ip link add br0 type bridge mcast_snooping 0 forward_delay 0
ip link set br0 arp off up # or it answers for the client, who is in the same namespace
ip link add client type veth peer name eth0 address 02:00:00:00:00:c8
ip link set client master br0 up
ip address add 10.77.0.200/24 dev eth0
ip -6 address add 2001:db8:77::200/64 dev eth0 nodad
ip link set eth0 up

# plug NAME: a cable for a machine, out of the switch.
plug() {
    ip tuntap add dev "$1" mode tap
    ip link set dev "$1" up
}

# boot MACHINE NAME NUMBER WORTHINESS ORDER GUARD OPTION...: its log is NAME-ORDER.log, its process is in /run/NAME.pid.
boot() {
    # shellcheck source=/dev/null
    . "$1"
    name=$2 log=$LOGS/$2-$5.log
    append="console=$console quiet panic=-1 ha.address=10.77.0.$((10 + $3))/24 ha.worthiness=$4 ha.order=$5 ha.guard=$6"
    nic="virtio-net-pci,romfile=,netdev=n,mac=02:00:00:00:00:0$3"
    shift 6
    [ ! -e "$log" ] || mv "$log" "$log.before"
    [ -p "/run/$name.keys" ] || mkfifo "/run/$name.keys"
    # shellcheck disable=SC2086 # words
    $qemu -accel tcg -m 96 -smp 1 -rtc base=1970-01-01 -nodefaults -nographic -serial stdio -no-reboot \
        -kernel "$kernel" -initrd "$initrd" -append "$append" -netdev "tap,id=n,ifname=$name,script=no,downscript=no" \
        -device "$nic" "$@" <>"/run/$name.keys" >"$log" 2>&1 3>&- & # what a script has open there ends with it
    echo $! >"/run/$name.pid"
}
# kernel_of MACHINE: its release
kernel_of() {
    # shellcheck source=/dev/null
    . "$1"
    echo "${kernel#*vmlinu?-}"
}
# cut_power NAME: and let go of the cable.
cut_power() {
    kill -KILL "$(cat "/run/$1.pid")"
    wait "$(cat "/run/$1.pid")" 2>/dev/null || true
}
# types NAME WORDS: to the shell on the machine's console; the port takes 16 bytes at once.
types() { echo "$2" >"/run/$1.keys"; }
says() { grep -aqs "$2" "$LOGS/$1.log"; }
# A worker that is not confined as it should be, or is ended by what confines it, may do its work nevertheless.
all_is_well() {
    if grep -aE 'not confined|worker ended' "$LOGS"/*; then fail "not all is well, see above"; fi
}
# guarded LOG GUARD: it says so, and whether rules or filters use a module shows that it is true.
guarded() {
    line="guarded by fence [0-9.]+m?s \\($2\\), lease [0-9]+s" rules=none filters=none
    case $2 in
    nftables) rules='[1-9][0-9]*' ;;
    clsact) filters='[1-9][0-9]*' ;;
    lease) line='guarded by lease [0-9]+s only: this kernel has no egress hook of nftables: .*, and no program at clsact: .*' ;;
    esac
    await 30 "who uses cls_bpf on $1" says "$1" '^users of cls_bpf: '
    grep -aqE "$line\s*\$" "$LOGS/$1.log" || fail "$1 does not say: $line"
    grep -aqE "^users of nf_tables: $rules\s*\$" "$LOGS/$1.log" || fail "users of nf_tables on $1: expected $rules"
    grep -aqE "^users of cls_bpf: $filters\s*\$" "$LOGS/$1.log" || fail "users of cls_bpf on $1: expected $filters"
    echo "    $1: $(grep -aom 1 'guarded by .*[^[:space:]]' "$LOGS/$1.log")"
}
# A machine that has taken the address has run its hook.
hook_ran() { await 10 "the hook of $1" says "$1" 'hook: active, signals held back: 0'; }
# What a machine says of its first heartbeat, into $heartbeat and $us.
first() {
    await 120 "the first heartbeat of $1" says "$1" 'heartbeat .* up'
    heartbeat=$(sed -n 's/.*\(heartbeat .* up [0-9.]* s\).*/\1/p' "$LOGS/$1.log")
    us=$(echo "$heartbeat" | sed 's/heartbeat \([0-9]*\) us.*/\1/')
    echo "    $1: first $heartbeat"
}
# Memory of all processes of ha on machine $1, whose log is $1-$2.log, into $pss: in KB.
pss() {
    types "$1" pss
    await 20 "the memory of $1" says "$1-$2" '^pss [0-9]* KB'
    pss=$(sed -n 's/^pss \([0-9]*\) KB.*/\1/p' "$LOGS/$1-$2.log")
}
