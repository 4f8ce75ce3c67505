# The state folder, and the images that every cluster has: the one that holds a pod's namespaces, and one with a shell
# for tests (localhost/busybox:e2e). Sourced.
# shellcheck shell=bash

make_image() {
  local name=$1 program=$2 root=$cluster/images/$1
  mkdir -p "$root/bin"
  cp "$program" "$root/bin/$name"
  [ "$name" != busybox ] || chroot "$root" /bin/busybox --install -s /bin
  "$repository/deploy/image.sh" "localhost/$name:e2e" "$root" "$cluster/images/$name.tar" "/bin/$name" >/dev/null
  rm -rf "$root"
}

make_state() {
  local program
  mkdir -p "$cluster"
  # The kernel refuses an overlay on an overlay, and the file systems of pods are overlays.
  if [ "$(stat -f -c %T "$cluster")" = overlayfs ]; then
    rmdir "$cluster"
    fail "$cluster is on an overlay, as a container's own file system is: set BINDPROXY_CLUSTER_DIR to a folder on a volume"
  fi
  mkdir -p "$cluster"/{bin,images,pki}
  for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns helm helm3; do
    ln -s "$("$scripts/build.sh" --path "$program")" "$cluster/bin/$program"
  done
  echo "nameserver 10.96.0.10" >"$cluster/resolv.conf"
  make_image pause "$("$scripts/build.sh" --path pause)"
  make_image busybox /bin/busybox
}
