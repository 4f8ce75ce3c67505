#!/usr/bin/env bash
# Packs a folder into an OCI archive with one layer, without a container daemon; the same folder gives the same octets.
#
#   image.sh REFERENCE ROOT ARCHIVE [ENTRYPOINT]
#
#   LABELS="title=x version=1"   labels, each as org.opencontainers.image.NAME (words without blanks)
#   SOURCE_DATE_EPOCH=0          the time of every file and of the image
#   COMPRESSION=9        from 1 (quick) to 9 (small)
#
# The process runs as 65532:65532, the owner of every file is root. `ctr images import`, `podman load`, `skopeo copy oci-archive:…`
# and `crane` take it; containerd gives it the name REFERENCE.
set -euo pipefail

reference=$1 root=$2 archive=$3 entrypoint=${4:-}
epoch=${SOURCE_DATE_EPOCH:-0}

case "$(uname -m)" in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) echo "image.sh: no name for the architecture $(uname -m)" >&2 && exit 1 ;;
esac
[[ "$reference" =~ ^[a-z0-9./:_-]+/[a-z0-9._/-]+:[A-Za-z0-9_.-]+$ ]] ||
  { echo "image.sh: $reference is not REGISTRY/NAME:TAG" >&2 && exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256"

pack() {
  tar --create --directory "$1" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --format=ustar "${@:2}"
}
digest() { sha256sum "$1" | cut -d' ' -f1; }
# Moves a file to the place that its content names, and says which.
store() {
  local name
  name=$(digest "$1")
  mv "$1" "$work/blobs/sha256/$name"
  echo "$name"
}
size() { stat -c %s "$work/blobs/sha256/$1"; }
# A JSON array of "key":"value" pairs from KEY=VALUE words.
labels() {
  local label separator=""
  for label in ${LABELS:-}; do
    printf '%s"org.opencontainers.image.%s":"%s"' "$separator" "${label%%=*}" "${label#*=}"
    separator=,
  done
}

pack "$root" . >"$work/layer.tar"
unpacked=$(digest "$work/layer.tar")
gzip "-${COMPRESSION:-9}" --no-name "$work/layer.tar"
layer=$(store "$work/layer.tar.gz")

cat >"$work/config" <<JSON
{"created":"$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)","architecture":"$architecture","os":"linux","config":{"User":"65532:65532","Env":["PATH=/bin:/"],${entrypoint:+"\"Entrypoint\":[\"$entrypoint\"],"}"WorkingDir":"/","Labels":{$(labels)}},"rootfs":{"type":"layers","diff_ids":["sha256:$unpacked"]},"history":[{"created_by":"deploy/image.sh"}]}
JSON
config=$(store "$work/config")

cat >"$work/manifest" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$(size "$config")},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:$layer","size":$(size "$layer")}],"annotations":{$(labels)}}
JSON
manifest=$(store "$work/manifest")

echo '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"
cat >"$work/index.json" <<JSON
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$(size "$manifest"),"platform":{"architecture":"$architecture","os":"linux"},"annotations":{"io.containerd.image.name":"$reference","org.opencontainers.image.ref.name":"${reference##*:}"}}]}
JSON

mkdir -p "$(dirname "$archive")"
pack "$work" blobs index.json oci-layout >"$archive.new"
mv "$archive.new" "$archive"
echo "$archive: $reference sha256:$manifest"
