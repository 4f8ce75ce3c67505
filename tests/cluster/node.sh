# One node: containerd, kubelet and kube-proxy in its network namespace, with the images that the cluster has. Sourced.
# shellcheck shell=bash

# fill FILE NODE: prints a template of this folder with the node's values.
fill() {
  local node=$2
  sed -e "s|@CLUSTER@|$cluster|g" -e "s|@NODE_DIR@|$cluster/$node|g" -e "s|@NODE@|$node|g" \
    -e "s|@POD_SUBNET@|$(pod_subnet "$node")|g" -e "s|@CGROUP_ROOT@|/$cgroup/$node|g" "$1"
}

import_image() {
  local node=$1 archive=$2
  ctr --address "$cluster/$node/containerd.sock" --namespace k8s.io images import "$archive" >/dev/null ||
    blame "$node" containerd "containerd on $node did not take $archive"
}

prepare_node() {
  local node=$1 folder=$cluster/$1
  mkdir -p "$folder"/{cni,pod-logs,kubelet}
  join_network "$node"
  make_cgroup "$cgroup/$node"
  issue_node "$node" "$(node_address "$node")"
  fill "$scripts/containerd.toml" "$node" >"$folder/containerd.toml"
  fill "$scripts/cni.conflist" "$node" >"$folder/cni/10-bindproxy-e2e.conflist"
  fill "$scripts/kubelet.yaml" "$node" >"$folder/kubelet.yaml"
  fill "$scripts/kube-proxy.yaml" "$node" >"$folder/kube-proxy.yaml"

  define "$node" containerd /usr/bin/containerd --config "$folder/containerd.toml"
  define "$node" kubelet "$cluster/bin/kubelet" --config="$folder/kubelet.yaml" \
    --kubeconfig="$cluster/pki/kubelet-$node.kubeconfig" --root-dir="$folder/kubelet" --cert-dir="$folder/kubelet/pki" \
    --hostname-override="$node" --node-ip="$(node_address "$node")"
  define "$node" kube-proxy "$cluster/bin/kube-proxy" --config="$folder/kube-proxy.yaml"
}

run_node() {
  local node=$1 archive
  launch "$node" containerd
  await "$node" containerd 30 ready ctr --address "$cluster/$node/containerd.sock" version
  for archive in "$cluster"/images/*.tar; do
    import_image "$node" "$archive"
  done
  launch "$node" kubelet
  launch "$node" kube-proxy
}

node_is_ready() {
  [ "$(kubectl get node "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

await_node() {
  await "$1" kubelet 90 ready node_is_ready "$1"
}
