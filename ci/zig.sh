# How programs for other processors are built: by zig, a compiler and C libraries for all of them; by pip, into the target
# directory. Each starts with: . "$(dirname "$0")/lib.sh"; . ci/flags.sh
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # used by those who source this, and set by what is sourced before

zig_version=0.17.1
zigbuild_version=0.24.1
all='x86_64-unknown-linux-musl aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf arm-unknown-linux-musleabi
    mips-unknown-linux-musl mipsel-unknown-linux-musl riscv64gc-unknown-linux-musl powerpc64le-unknown-linux-musl'
mkdir -p "$target/dist" "$target/zigbuild"
built=$(cd "$target/zigbuild" && pwd)
zig=${HA_ZIG:-$(cd "$target" && pwd)/zig}

# arch TARGET: the processor's name, uname's
arch() {
    arch=${1%%-*}
    echo "${arch%gc}"
}

# The target that an argument means.
target_of() {
    for one in $all; do
        if [ "$1" = "$one" ] || [ "$1" = "$(arch "$one")" ]; then echo "$one" && return; fi
    done
    fail "$1: one of these is meant:$(for one in $all; do printf ' %s' "$(arch "$one")"; done)"
}

# emulator ARCH
emulator() {
    case $1 in
    arm*) name=arm ;;
    powerpc64le) name=ppc64le ;;
    *) name=$1 ;;
    esac
    echo "qemu-$name-static"
}

install_zig() {
    if [ ! -x "$zig/bin/cargo-zigbuild" ]; then
        need python3=python3
        python3 -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
        say "installing zig $zig_version"
        python3 -m venv "$zig" || fail "python3 -m venv, see above"
        prepare "$zig/bin/pip" install --quiet "ziglang==$zig_version" "cargo-zigbuild==$zigbuild_version" ||
            fail "try by hand: pip install ziglang cargo-zigbuild"
    fi
    if ! has_source; then
        apt_install rustc-web cargo-web rust-web-src
        has_source || fail "no rustc >= 1.92 with library sources in PATH or /usr/bin: rustup component add rust-src"
    fi
}

# zigbuild LOG ARGUMENT...: cargo-zigbuild, with $flags; quiet unless it fails
zigbuild() {
    log=$1
    shift
    PATH=$rust:$PATH RUSTC_BOOTSTRAP=1 RUSTC=$rust/rustc CARGO_ENCODED_RUSTFLAGS=$flags CARGO_TARGET_DIR=$built \
        CARGO_ZIGBUILD_ZIG_PATH=$zig/bin/python-zig CARGO_ZIGBUILD_CACHE_DIR=$zig/cache ZIG_GLOBAL_CACHE_DIR=$zig/cache \
        "$zig/bin/cargo-zigbuild" "$@" >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        fail "cargo could not build it, see $log"
    }
}
