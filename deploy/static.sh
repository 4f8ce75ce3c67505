#!/usr/bin/env bash
# static.sh PACKAGE...   builds the programs of these packages for release, each static and without need of anything
#                        around it, for this machine's architecture; the last line names their folder
# static.sh --check FILE...   fails when one of these programs is not static
#
# The flags are given here and not in .cargo/config.toml: an ordinary build keeps linking
# dynamically, which is faster, and keeps its own target folder.
set -euo pipefail

# `ldd` ends with 1 for a binary that is not dynamic at all and with 0 for a static-pie.
check() {
    local linked
    linked="$(ldd "$1" 2>&1 || true)"
    case "$linked" in
    *"statically linked"* | *"not a dynamic executable"*) ;;
    *)
        echo "$1 is not static:" >&2
        echo "$linked" >&2
        exit 1
        ;;
    esac
}

if [ "${1:-}" = --check ]; then
    for program in "${@:2}"; do
        check "$program"
    done
    exit 0
fi

cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
build=target/dist-build

# --target is needed: without it the flags would also reach proc-macros, which cannot be static.
# The getrandom backend is the system call: a static glibc binary finds no getrandom() through
# dlsym, falls back to /dev/urandom and would abort where there is no /dev.
unset CARGO_ENCODED_RUSTFLAGS
RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    cargo build --release --locked "${@/#/--package=}" --bins --target "$target" --target-dir "$build" >&2

for package in "$@"; do
    check "$build/$target/release/$package"
done
echo "$build/$target/release"
