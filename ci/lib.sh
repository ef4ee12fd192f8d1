# Shared by the checks; each starts with: . "$(dirname "$0")/lib.sh"
# shellcheck shell=sh
# shellcheck disable=SC2034 # used by those who source this

set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # ip, nft and tcpdump, for a user who is not root
: "${CARGO_NET_RETRY:=10}"
export PATH CARGO_NET_RETRY

check=$(basename "$0")
triple=x86_64-unknown-linux-musl
target=${CARGO_TARGET_DIR:-target}
program=$target/$triple/release/ha

say() { printf '%s: %s\n' "$check" "$*"; }
fail() {
    printf '%s: FAILED: %s\n' "$check" "$*" >&2
    exit 1
}
# 77 is what automake and meson take for "skipped": neither passed nor failed.
skip() {
    printf '%s: SKIPPED: %s\n' "$check" "$*" >&2
    exit 77
}

# The files of the project, those not yet committed too. The checkout may belong to another user: git must not mind.
files() {
    git -c safe.directory='*' ls-files --cached --others --exclude-standard | while read -r file; do
        if [ -f "$file" ]; then echo "$file"; fi
    done
}

# checksum: of the files whose names come in. By it each change draws simulated clusters and processors of its own.
checksum() { LC_ALL=C sort | xargs cat | cksum | cut -d ' ' -f 1; }

# insert NAME TABLE PAGE: into the page, between `<!-- NAME: begin -->` and `<!-- NAME: end -->`, instead of what is there.
insert() {
    new=$(mktemp)
    awk -v name="$1" -v table="$2" '
        $0 == "<!-- " name ": end -->" { while ((getline line < table) > 0) print line; is_old = 0 }
        !is_old
        $0 == "<!-- " name ": begin -->" { is_old = 1 }' "$3" >"$new"
    cat "$new" >"$3"
    rm "$new"
}

# prepare COMMAND...: what a check needs before it can work; of the first seconds of ci/begin it takes none.
prepare() {
    [ -z "${PREPARING:-}" ] || : >"$PREPARING/$$"
    prepared=0
    "$@" || prepared=$?
    [ -z "${PREPARING:-}" ] || rm -f "$PREPARING/$$"
    return $prepared
}

# need COMMAND=PACKAGE...: installs the packages of the commands that are missing.
need() {
    missing=
    for pair; do
        command -v "${pair%%=*}" >/dev/null 2>&1 || missing="$missing ${pair#*=}"
    done
    # shellcheck disable=SC2086 # a list
    [ -z "$missing" ] || apt_install $missing
}

# apt_install PACKAGE...: by apt, without a question and without noise unless it fails.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || fail "install what Debian calls: $*"
    root=
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "run as root: apt-get install $*"
        root='sudo -n'
    fi
    say "installing $*"
    log=$(mktemp)
    # Fetching the lists takes longer than most packages, so it waits for a failure. But of rustc the base suite has
    # one that is too old, and only current lists know that of the security suite.
    case " $* " in *' rustc-web '*) prepare apt_get update >"$log" 2>&1 || true ;; esac
    if ! prepare apt_get install "$@" >>"$log" 2>&1; then
        prepare apt_get update >>"$log" 2>&1 || true # one source that is down does not matter, if the others have it
        if ! prepare apt_get install "$@" >>"$log" 2>&1; then
            cat "$log" >&2
            fail "try by hand: apt-get update && apt-get install $*"
        fi
    fi
    rm -f "$log"
}

apt_get() {
    # shellcheck disable=SC2086 # empty, or sudo with its option
    $root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# Cargo and rustc for the host, new enough, and something that links.
need_cargo() {
    need cargo=cargo-web rustc=rustc-web gcc=gcc
    # Debian's cargo trusts nobody without it.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || apt_install ca-certificates
    wanted=$(sed -n 's/^rust-version = "1\.\([0-9]*\)".*/\1/p' Cargo.toml)
    found=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
    [ "${found:-0}" -ge "$wanted" ] ||
        fail "$(rustc --version) is older than 1.$wanted: rustup update (or apt-get install rustc-web cargo-web)"
}

# need_component fmt|clippy: a cargo command that rustup and Debian keep apart from the compiler.
need_component() {
    need_cargo
    if cargo "$1" --version >/dev/null 2>&1; then return; fi
    component=$1 package=rust-web-clippy
    if [ "$1" = fmt ]; then component=rustfmt package=rustfmt-web; fi
    if is_rustup; then
        rustup_adds component "$component" || fail "try by hand: rustup component add $component"
    else
        apt_install "$package"
    fi
}

# Whether the rustc in PATH is one that rustup keeps.
is_rustup() {
    command -v rustup >/dev/null 2>&1 && [ "$(rustup which rustc 2>/dev/null)" = "$(rustc --print sysroot)/bin/rustc" ]
}

# rustup_adds target|component NAME, where rustup may fetch; a network that swallows packets costs two minutes at most.
rustup_adds() {
    [ "${RUSTUP_AUTO_INSTALL:-1}" != 0 ] || return 1
    say "rustup $1 add $2"
    timeout -k 5 120 rustup "$1" add "$2" </dev/null >/dev/null 2>&1
}
