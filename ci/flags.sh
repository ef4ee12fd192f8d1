# What a binary is that is shipped, for those who build one; each starts with: . "$(dirname "$0")/lib.sh"
# shellcheck shell=sh

# Flags are separated by 0x1f, so that a path may contain spaces.
flags=
flag() {
    for word; do flags="${flags:+$flags$(printf '\037')}$word"; done
}

# Whatever it is built by.
flags_for_all() {
    flag -Ctarget-feature=+crt-static
    flags_for_speed
    # Where it was built is nobody's business, and the same sources shall make the same binary anywhere.
    flag "--remap-path-prefix=$PWD=."
    flag "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=deps"
}

# What decides how long a packet takes to check. A loop instead of 64 rounds in a row: 12 KB less, and three blocks of a
# packet take a microsecond or two.
flags_for_speed() { flag --cfg 'sha2_backend="soft"' --cfg 'sha2_backend_soft="compact"'; }

# Where std is built too, by a rustc that is told to take what is not yet stable: all that nobody would read is left out.
flags_for_source() {
    flag -Zunstable-options
    flag -Cpanic=immediate-abort  # a panic is one instruction, see src/bin/ha/log/panic.rs: 40 KB
    flag -Zlocation-detail=none   # what is left of places in the sources
    flag -Cforce-unwind-tables=no # 20 KB
    flag -Zfmt-debug=none         # the program shows nothing by {:?}
    flag "--remap-path-prefix=$("$rust/rustc" --print sysroot)/lib/rustlib/src/rust=rust"
    flags_for_llvm
    # Which line an instruction is of, for ci/place. It follows what is loaded, and is cut off with the table of sections.
    CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_PROFILE_RELEASE_STRIP=none
    export CARGO_PROFILE_RELEASE_DEBUG CARGO_PROFILE_RELEASE_STRIP
}

# What decides how the code is made, each with what it is worth (bytes on disk, packed), where there are 240 KB, packed 118 KB. What
# several functions have in common stays in each: outlined it is 2 KB less and, packed, 3 KB more.
flags_for_llvm() {
    # A function with a large frame stays one, so that those it is called by have small ones, whose offsets are short; what is worth
    # a call is judged by size alone.
    knob -inline-max-stacksize=1000 -inline-instr-cost=3
    # Branches of a function do not share their last instructions, which costs 4 KB, packed 1 KB: a panic is one of those, and
    # would be of no line.
    knob -enable-tail-merge=0
    # Blocks follow each other so that the fewest jumps are needed (2.6 KB, packed 1.4 KB).
    knob -apply-ext-tsp-for-size
    # Nothing is computed ahead of a loop or of where it is used, or kept to be used again: it would have a register for itself (2.3 KB,
    # packed 2.2 KB).
    knob -disable-machine-licm -disable-lsr -disable-constant-hoisting -disable-machine-cse
    # A value stays in one place, and is not moved between registers from one region of a function to the next (0.6 KB, packed 1.1 KB).
    knob -grow-region-complexity-budget=0
    # More than 32 bytes are copied or cleared by an instruction that repeats or by a call (2.0 KB, packed 0.7 KB). Not more than 16, though
    # that is less: what remains of a length after eight bytes at a time takes two stores, and with one LLVM 22 recurses until it crashes.
    knob -max-store-memcpy=2 -max-store-memset=2
}

# knob OPTION...: of LLVM, where this rustc's knows it
knob() {
    for option; do
        if "$rust/rustc" "-Cllvm-args=$option" --print cfg >/dev/null 2>&1; then flag "-Cllvm-args=$option"; fi
    done
}

# Sets $rust to the directory of a rustc that can build std: its sources are beside it, and it knows immediate-abort (1.92).
has_source() {
    for rust in "$(dirname "$(command -v rustc)")" /usr/bin; do
        if [ ! -x "$rust/rustc" ] || [ ! -x "$rust/cargo" ]; then continue; fi
        [ -e "$("$rust/rustc" --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml" ] || continue
        if RUSTC_BOOTSTRAP=1 "$rust/rustc" -Zunstable-options -Cpanic=immediate-abort --print cfg >/dev/null 2>&1; then
            return
        fi
    done
    return 1
}

# drop_sections FILE: takes away the table of sections, and those that are not loaded: a linker and a debugger read them, and a
# kernel does not: it loads segments, and the file ends with the last of them. OpenWrt's sstrip does the same.
drop_sections() {
    end=$(readelf -lW "$1" | while read -r kind offset _ _ size _; do
        if [ "$kind" = LOAD ]; then echo $((offset + size)); fi
    done | sort -n | tail -n 1)
    # Where the table is, and its three sizes (elf(5)); zero says that there is none.
    if readelf -h "$1" | grep -q ELF64; then set -- "$1" 40 8 58; else set -- "$1" 32 4 46; fi
    head -c "$end" "$1" >"$1.short"
    for place in "$2 $3" "$4 6"; do
        dd if=/dev/zero of="$1.short" bs=1 seek="${place% *}" count="${place#* }" conv=notrunc status=none
    done
    chmod 755 "$1.short"
    mv "$1.short" "$1"
}

# No interpreter and no library to load: whatever the name of the target promises, the file has to show it.
is_static() {
    kind=$(file -b "$1")
    case $kind in
    *'static-pie linked'* | *'statically linked'*) ;;
    *) fail "$1 is not static: $kind" ;;
    esac
    if readelf -lW "$1" | grep -q INTERP; then fail "$1 is not static: readelf -l shows an interpreter"; fi
    if readelf -dW "$1" | grep NEEDED; then fail "$1 is not static: readelf -d shows the libraries above"; fi
}
