#!/usr/bin/env bash
# load.sh [ARCHIVE...]   gives OCI archives to every node, also to those that are added later
#                        (default: what `make images` wrote)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for part in process network cgroups node; do
  # shellcheck disable=SC1090
  . "$scripts/$part.sh"
done

[ $# -gt 0 ] || set -- "$repository"/target/images/*.tar
[ -e "$1" ] || fail "$1 is not there: make images"
[ -e "$cluster/complete" ] || fail "no cluster is up in $cluster: make cluster-up"
lock_cluster
for archive in "$@"; do
  cp "$archive" "$cluster/images/"
  for node in $(nodes); do
    import_image "$node" "$archive"
  done
done
