#!/usr/bin/env bash
# Builds one static binary with its completions, manual page and schema into target/dist,
# and proves that it is static and runs with nothing else in its root.
#
#   deploy/dist.sh            for this machine's architecture (glibc, linked statically)
set -euo pipefail

cd "$(dirname "$0")/.."
dist=target/dist
built="$(deploy/static.sh bindproxy | tail -n 1)"

rm -rf "$dist"
mkdir -p "$dist"
binary="$dist/bindproxy"
install -m 0755 "$built/bindproxy" "$binary"

"$binary" completions bash >"$dist/bindproxy.bash"
"$binary" completions zsh >"$dist/_bindproxy"
"$binary" completions fish >"$dist/bindproxy.fish"
"$binary" man >"$dist/bindproxy.1"
"$binary" schema >"$dist/bindproxy.schema.json"
cp deploy/bindproxy.service deploy/bindproxy.sysusers "$dist/"
cp -r deploy/examples "$dist/examples"

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
