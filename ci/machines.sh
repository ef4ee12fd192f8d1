# Machines that QEMU emulates: Debian's kernel, and an initramfs of static busybox, the static binary and dist/busybox/S60ha.
# Each check that boots some starts with: . "$(dirname "$0")/lib.sh"; . ci/flags.sh; . ci/zig.sh
# shellcheck shell=sh
# shellcheck disable=SC2154 # set by what is sourced before

processors='x86_64 aarch64 armv7 mipsel'

# need_machines ARCH...: what it takes to emulate these, and to join them.
need_machines() {
    need busybox=busybox-static cpio=cpio modinfo=kmod ip=iproute2 unshare=util-linux dpkg-deb=dpkg
    for one; do
        describe "$one"
        need "${qemu%% *}=$emulator"
    done
    unshare --net --mount --pid --fork true 2>/dev/null || skip "no permission to create namespaces (run as root)"
    [ -c /dev/net/tun ] || skip "no /dev/net/tun: no network between machines"
}

# describe ARCH: what its machine is and what Debian calls it. Without the generators of its processor the kernel has no
# randomness at boot, as that of many routers.
describe() {
    case $1 in
    x86_64)
        debian=amd64 package=linux-image-cloud-amd64 console=ttyS0
        emulator=qemu-system-x86 qemu='qemu-system-x86_64 -M pc -cpu max,-rdrand,-rdseed'
        ;;
    aarch64)
        debian=arm64 package=linux-image-cloud-arm64 console=ttyAMA0
        emulator=qemu-system-arm qemu='qemu-system-aarch64 -M virt -cpu cortex-a53'
        ;;
    armv7)
        debian=armhf package=linux-image-armmp console=ttyAMA0
        # Debian's kernel for these does not see beyond 4 GB, where the bus would be.
        emulator=qemu-system-arm qemu='qemu-system-arm -M virt,highmem=off -cpu cortex-a7'
        ;;
    mipsel)
        debian=mipsel package=linux-image-4kc-malta console=ttyS0
        emulator=qemu-system-mips qemu='qemu-system-mipsel -M malta'
        ;;
    *) fail "$1: one of these is meant: $processors" ;;
    esac
}

# Debian's packages for that architecture, by an apt that has nothing to do with this system's.
apt() {
    tool=$1
    shift
    "$tool" -qq -o APT::Architecture="$debian" -o APT::Architectures="$debian" -o APT::Sandbox::User=root \
        -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" "$@"
}
fetch() {
    rm -rf "$work/apt" "$work/root.new"
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/apt/debs" "$work/root.new"
    : >"$work/apt/status"
    apt apt-get update || true # one source that is down does not matter, if the others have it
    kernel=$(apt apt-cache depends "$package" | sed -n 's/.*Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    (cd "$work/apt/debs" && apt apt-get download "$kernel" busybox-static) || return
    for deb in "$work"/apt/debs/*.deb; do dpkg-deb -x "$deb" "$work/root.new"; done
    rm -rf "$work/apt"
    mv "$work/root.new" "$work/root"
}

# module NUMBER NAME: it, after those that it needs; NUMBER is the order of insertion.
module() {
    path=$(find "$work/root/lib/modules" -name "$2.ko")
    [ -n "$path" ] || fail "$package has no module $2"
    for needed in $(modinfo -F depends "$path" | tr , ' '); do module "$1" "$needed"; done
    ls "$work"/initrd/modules/*-"$2".ko >/dev/null 2>&1 ||
        cp "$(find "$work/root/lib/modules" -name "$2.ko")" \
            "$work/initrd/modules/$1$(printf %02d "$(find "$work/initrd/modules" -type f | wc -l)")-$2.ko"
}

# machine ARCH BINARY: makes one; sets $machine to the file that tells lab/appliance/lan.sh how to boot it.
machine() {
    describe "$1"
    mkdir -p "$target/appliance/$1"
    work=$(cd "$target/appliance/$1" && pwd)
    if [ ! -d "$work/root" ]; then
        say "fetching kernel and busybox for $1"
        fetch >"$work/fetch.log" 2>&1 || fail "fetch $package for $debian: $(tail -n 1 "$work/fetch.log")"
    fi
    rm -rf "$work/initrd"
    for dir in bin etc/init.d usr/sbin var modules proc sys dev run; do mkdir -p "$work/initrd/$dir"; done
    cp "$work/root/bin/busybox" "$work/initrd/bin/"
    for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$work/initrd/bin/$applet"; done
    ln -s bin/busybox "$work/initrd/init"
    ln -s ../run "$work/initrd/var/run"
    cp lab/appliance/inittab "$work/initrd/etc/"
    install -m 755 lab/appliance/rcS dist/busybox/S60ha "$work/initrd/etc/init.d/"
    install -m 755 lab/appliance/pss lab/appliance/freeze "$work/initrd/bin/"
    install -m 644 dist/ha.conf "$work/initrd/etc/ha.conf"
    printf 'root::0:0::/:/bin/sh\nnobody::65534:65534::/:/bin/false\n' >"$work/initrd/etc/passwd"
    install -m 755 "$2" "$work/initrd/usr/sbin/ha"
    module 0 virtio_pci
    module 1 virtio_net
    # It needs a checksum, too, which the kernel asks for by another name; some have it built in.
    [ -z "$(find "$work/root/lib/modules" -name crc32c_generic.ko)" ] || module 2 crc32c_generic
    module 2 nf_tables
    module 3 sch_ingress
    module 3 cls_bpf
    (cd "$work/initrd" && find . | LC_ALL=C sort | cpio --quiet -o -H newc | gzip -1) >"$work/initrd.gz"
    machine=$work/machine
    cat >"$machine" <<END
kernel='$(ls "$work/root/boot/vmlinu"[xz]-*)'
initrd='$work/initrd.gz'
console=$console
qemu='$qemu'
END
    say "$1: $(ls "$work/root/lib/modules"), $(stat -c %s "$work/initrd.gz") bytes of initramfs"
}
