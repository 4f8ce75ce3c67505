# Where things are, for the scripts beside this one. Sourced.
# shellcheck shell=bash disable=SC2034

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$scripts/../.." && pwd)

# What is built: outlives checkouts, may be removed at any time.
cache=${BINDPROXY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bindproxy}

# The running cluster: one folder per node, `pki`, `bin`, and the kubeconfig for people and tests.
cluster=${BINDPROXY_CLUSTER_DIR:-/run/bindproxy-e2e}
kubeconfig=$cluster/kubeconfig

fail() {
  echo "$*" >&2
  exit 1
}

# Whoever starts, changes or ends the cluster waits here for others; there is one cluster of this kind on a machine.
lock_cluster() {
  exec 9>/run/lock/bindproxy-e2e
  flock --timeout 600 9 || fail "another command has been working on the cluster for ten minutes"
}
