#!/usr/bin/env bash
# Ends everything that up.sh started, and removes everything that it made: processes, mounts, namespaces, links, routes,
# cgroups, files. What is built stays in the cache.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for part in process network cgroups remove; do
  # shellcheck disable=SC1090
  . "$scripts/$part.sh"
done

[ "$(id -u)" -eq 0 ] || fail "a cluster needs root, and so does its end"
lock_cluster
refuse_taken_network
if ! anything_left; then
  echo "no cluster is up"
  exit 0
fi
remove_cluster
echo "the cluster is gone"
