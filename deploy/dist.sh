#!/usr/bin/env bash
# Builds one static binary with its completions, manual page and schema into target/dist,
# and proves that it is static and runs with nothing else in its root.
#
#   deploy/dist.sh            for this machine's architecture (glibc, linked statically)
#
# The flags are given here and not in .cargo/config.toml: an ordinary build keeps linking
# dynamically, which is faster, and keeps its own target folder.
set -euo pipefail

cd "$(dirname "$0")/.."
target="$(uname -m)-unknown-linux-gnu"
dist=target/dist
build=target/dist-build

# --target is needed: without it the flags would also reach proc-macros, which cannot be static.
# The getrandom backend is the system call: a static glibc binary finds no getrandom() through
# dlsym, falls back to /dev/urandom and would abort where there is no /dev.
unset CARGO_ENCODED_RUSTFLAGS
RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    cargo build --release --locked --package bindproxy --bin bindproxy --target "$target" --target-dir "$build"

rm -rf "$dist"
mkdir -p "$dist"
binary="$dist/bindproxy"
install -m 0755 "$build/$target/release/bindproxy" "$binary"

"$binary" completions bash >"$dist/bindproxy.bash"
"$binary" completions zsh >"$dist/_bindproxy"
"$binary" completions fish >"$dist/bindproxy.fish"
"$binary" man >"$dist/bindproxy.1"
"$binary" schema >"$dist/bindproxy.schema.json"
cp deploy/bindproxy.service deploy/bindproxy.sysusers "$dist/"
cp -r deploy/examples "$dist/examples"

# `ldd` ends with 1 for a binary that is not dynamic at all and with 0 for a static-pie.
linked="$(ldd "$binary" 2>&1 || true)"
case "$linked" in
*"statically linked"* | *"not a dynamic executable"*) echo "static: $(echo "$linked" | tr -d '\t')" ;;
*)
    echo "$binary is not static:" >&2
    echo "$linked" >&2
    exit 1
    ;;
esac

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
cp "$binary" deploy/examples/minimal.yaml "$root/"
if [ "$(id -u)" = 0 ]; then
    enter=(chroot "$root")
elif unshare --user --map-root-user true 2>/dev/null; then
    enter=(unshare --user --map-root-user chroot "$root")
else
    enter=()
    echo "not tried in an empty root: neither root nor user namespaces" >&2
fi
if [ "${#enter[@]}" -gt 0 ]; then
    "${enter[@]}" /bindproxy check --config /minimal.yaml
    echo "runs in an empty root"
fi

(cd "$dist" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
echo "in $dist:"
ls -l "$dist"
