#!/usr/bin/env bash
# Writes target/images/bindproxy.tar and bindproxy-operator.tar: OCI archives of images that hold one static binary, its
# user and the list of public authorities, and nothing else.
#
#   IMAGE_REGISTRY=localhost   what their names begin with: localhost/bindproxy:dev
#   IMAGE_TAG=dev              and end with
#   BINARIES=FOLDER            packs the programs in this folder, and builds nothing
#   SOURCE_DATE_EPOCH=0        the time of every file, for builds that can be repeated
set -euo pipefail
cd "$(dirname "$0")/.."

registry=${IMAGE_REGISTRY:-localhost}
tag=${IMAGE_TAG:-dev}
# Every node of every user pulls them.
limit_megabytes=20

# Debian's list, so that an upstream with a certificate of a public authority needs no configuration.
authorities=/etc/ssl/certs/ca-certificates.crt
[ -s "$authorities" ] || .ci/packages <(echo ca-certificates)

binaries=${BINARIES:-}
[ -n "$binaries" ] || binaries=$(deploy/static.sh bindproxy bindproxy-operator | tail -n 1)

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision=$revision-modified

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
for program in bindproxy bindproxy-operator; do
  binary=$binaries/$program
  [ -x "$binary" ] || { echo "images.sh: $binary is not there" >&2 && exit 1; }
  deploy/static.sh --check "$binary"
  rm -rf "${root:?}"/*
  install -D -m 0755 "$binary" "$root/$program"
  # A third of the program is names of functions. A panic tells its file and line without them.
  strip --strip-all "$root/$program"
  install -D -m 0644 "$authorities" "$root/etc/ssl/certs/ca-certificates.crt"
  printf 'nonroot:x:65532:65532:nonroot:/:/nonexistent\n' >"$root/etc/passwd"
  printf 'nonroot:x:65532:\n' >"$root/etc/group"
  find "$root" -type d -exec chmod 0755 {} +
  chmod 0644 "$root"/etc/{passwd,group}

  archive=target/images/$program.tar
  LABELS="title=$program version=$version revision=$revision licenses=Apache-2.0" \
    deploy/image.sh "$registry/$program:$tag" "$root" "$archive" "/$program"
  bytes=$(du --summarize --apparent-size --bytes "$root" | cut -f1)
  printf '  %s MB unpacked, %s MB as archive\n' \
    "$(awk "BEGIN { printf \"%.1f\", $bytes / 1e6 }")" "$(awk "BEGIN { printf \"%.1f\", $(stat -c %s "$archive") / 1e6 }")"
  if [ "$bytes" -gt $((limit_megabytes * 1000 * 1000)) ]; then
    echo "images.sh: $program is larger than $limit_megabytes MB" >&2
    exit 1
  fi
done
