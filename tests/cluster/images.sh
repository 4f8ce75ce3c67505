# The state folder, and the images that every cluster has. Sourced.
# shellcheck shell=bash
#
#   localhost/pause:e2e    holds a pod's namespaces
#   localhost/client:e2e   for pods that play a client: a shell, curl, ldapwhoami, ldapsearch, a few of coreutils

client_programs=(dash curl ldapwhoami ldapsearch getent cat date env false head hostname id ls mkdir sleep timeout true)

# make_image NAME ROOT [ENTRYPOINT]
make_image() {
  # Nothing is sent anywhere: the quickest compression is the right one.
  COMPRESSION=1 "$repository/deploy/image.sh" "localhost/$1:e2e" "$2" "$cluster/images/$1.tar" "${@:3}" >/dev/null
  rm -rf "$2"
}

make_pause_image() {
  local root=$cluster/images/pause
  mkdir "$root"
  cp "$("$scripts/build.sh" --path pause)" "$root/pause"
  make_image pause "$root" /pause
}

# This machine's programs with the libraries that they are linked with, and nothing else of Debian.
make_client_image() {
  local root=$cluster/images/client program folder
  mkdir -p "$root"/usr/{bin,lib,lib64} "$root/etc"
  for folder in bin lib lib64; do
    ln -s "usr/$folder" "$root/$folder"
  done
  for program in "${client_programs[@]}"; do
    program=$(type -P "$program")
    cp --dereference "$program" "$root/bin/"
    ldd "$program" | grep -o '/[^ ]*' | xargs cp --dereference --parents --update --target-directory="$root"
  done
  ln -s dash "$root/bin/sh"
  printf 'root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n' >"$root/etc/passwd"
  make_image client "$root"
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
  make_pause_image
  make_client_image
}
