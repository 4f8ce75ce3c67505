#!/usr/bin/env bash
# Starts a Kubernetes cluster on this machine: etcd, the control plane and CoreDNS as processes, and each node in a
# network namespace of its own. Needs root and Debian; README.md says more.
#
#   up.sh [--nodes 2]   does nothing when it is up, adds nodes that are missing, first removes what a crash left
#   up.sh --is-up       only tells by its exit code
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for part in process network cgroups pki images node control_plane remove; do
  # shellcheck disable=SC1090
  . "$scripts/$part.sh"
done

# Up means that it was started to the end, that nothing has ended since, and that the API server answers.
is_up() {
  local node component
  [ -e "$cluster/complete" ] || return 1
  for node in $(nodes); do
    for component in $(components "$node"); do
      running "$node" "$component" >/dev/null || { echo "$component on $node has ended" && return 1; }
    done
  done
  kubectl get --raw /readyz >/dev/null 2>&1 || { echo "the API server does not answer" && return 1; }
}

wanted=2
case "${1:-}" in
  --is-up)
    is_up >/dev/null
    exit
    ;;
  --nodes) wanted=${2:?} ;;
  "") ;;
  *) fail "up.sh: unknown argument $1" ;;
esac
[[ "$wanted" =~ ^[1-9]$ ]] || fail "up.sh: between 1 and 9 nodes"

[ "$(id -u)" -eq 0 ] || fail "a cluster needs root, for network namespaces, mounts and cgroups"
"$repository/.ci/packages" "$scripts/packages.txt"
"$scripts/build.sh"
lock_cluster
refuse_taken_network

if ! is_up && anything_left; then
  echo "removing what is left of an earlier cluster"
  remove_cluster
fi

missing=()
for ((number = 1; number <= wanted; number++)); do
  [ -d "$cluster/n$number" ] || missing+=("n$number")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "the cluster is up already, with $(nodes | xargs): export KUBECONFIG=$kubeconfig PATH=$cluster/bin:\$PATH"
  exit 0
fi

started=$SECONDS
say() { printf '%4d s  %s\n' "$((SECONDS - started))" "$*"; }
trap '[ $? -eq 0 ] || echo "the cluster is not up; all logs are in $cluster/n*/logs, make cluster-down removes everything" >&2' EXIT

rm -f "$cluster/complete"
fresh=false
[ -e "$kubeconfig" ] || fresh=true
if $fresh; then
  make_state
  make_authority
  issue_control_plane
  cp "$cluster/pki/admin.kubeconfig" "$kubeconfig"
  make_cgroup "$cgroup/components"
  make_hub
fi
for node in "${missing[@]}"; do
  prepare_node "$node"
done
if $fresh; then
  start_control_plane
  say "the control plane is ready"
fi
for node in "${missing[@]}"; do
  run_node "$node"
done
for node in "${missing[@]}"; do
  await_node "$node"
  say "node $node is ready"
done
touch "$cluster/complete"
echo "export KUBECONFIG=$kubeconfig PATH=$cluster/bin:\$PATH"
