# Removes a cluster, also one that crashed or of which a reboot left only files: what it started, then what it made.
# Sourced.
# shellcheck shell=bash

end_processes() {
  local node component
  # The kubelets first: they start again what ends.
  for component in kubelet kube-scheduler kube-controller-manager; do
    for node in $(nodes); do
      stop "$node" "$component" KILL
    done
  done
  for node in $(nodes); do
    for component in $(components "$node"); do
      stop "$node" "$component" KILL
    done
  done
  # Shims and containers, which containerd started, and whatever was started when the cluster was made by halves.
  kill_processes_in_cgroup
}

# Sockets of shims are outside of containerd's own folders; each shim's folder says where.
remove_shim_sockets() {
  local file address
  for file in "$cluster"/n*/containerd/state/io.containerd.runtime.v2.task/*/*/address; do
    [ -e "$file" ] || continue
    address=$(cat "$file")
    case "$address" in
      unix:///run/containerd/s/*) rm -f "${address#unix://}" ;;
    esac
  done
}

mounts_below() {
  # Octal escapes (\040) are the kernel's for blanks in paths.
  awk -v root="$1/" 'index($5, root) == 1 { print $5 }' /proc/self/mountinfo | sort -r
}

unmount_all() {
  local mount
  while read -r mount; do
    [ -z "$mount" ] || umount --lazy "$(printf '%b' "$mount")"
  done < <(mounts_below "$cluster")
}

# Three places that cannot be chosen: the CNI library's records (which name the namespace of the pod), the kubelet's links
# to logs, and its socket for device plugins.
remove_outside_files() {
  local link
  find /var/lib/cni/results -maxdepth 1 -type f -exec grep -lFZ "$cluster/" {} + 2>/dev/null | xargs -0r rm -f
  for link in /var/log/containers/*.log; do
    case "$(readlink "$link" || true)" in
      "$cluster"/*) rm -f "$link" ;;
    esac
  done
  # Another kubelet may use it; ours may still be there as a zombie.
  if ! ps -C kubelet -o stat= | grep -qv '^Z'; then
    rm -f /var/lib/kubelet/device-plugins/kubelet.sock
    rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
  fi
}

anything_left() {
  [ -e "$cluster" ] || [ -e "/sys/class/net/$host_link" ] || [ -n "$(processes_in_cgroup)" ] ||
    ip netns list | grep -qE '^bindproxy-(hub|n[0-9]+)( |$)'
}

remove_cluster() {
  [ "$cluster" != / ] || fail "BINDPROXY_CLUSTER_DIR is /"
  if [ -e "$cluster" ] && [ ! -e "$cluster/pki" ] && [ -n "$(ls -A "$cluster")" ]; then
    fail "$cluster does not look like the files of a cluster, and is not removed"
  fi
  end_processes
  remove_shim_sockets
  unmount_all
  remove_network
  remove_cgroup
  remove_outside_files
  [ -z "$(mounts_below "$cluster")" ] || fail "still mounted below $cluster: $(mounts_below "$cluster")"
  rm -rf --one-file-system "$cluster"
}
