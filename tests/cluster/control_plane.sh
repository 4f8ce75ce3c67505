# The components that a cluster has once; they run in the network namespace of node n1. Sourced.
# shellcheck shell=bash

kubectl() { "$cluster/bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }

start_etcd() {
  local clients=http://127.0.0.1:2379 peers=http://127.0.0.1:2380
  define n1 etcd /usr/bin/etcd --data-dir="$cluster/n1/etcd" --initial-cluster=default="$peers" \
    --listen-client-urls="$clients" --advertise-client-urls="$clients" \
    --listen-peer-urls="$peers" --initial-advertise-peer-urls="$peers"
  launch n1 etcd
}

# The admission plugins are the default ones (Pod Security is among them) and NodeRestriction.
start_apiserver() {
  local pki=$cluster/pki
  define n1 kube-apiserver "$cluster/bin/kube-apiserver" \
    --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$(node_address n1)" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/service-account.pub" --service-account-signing-key-file="$pki/service-account.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$pki/apiserver-kubelet.crt" --kubelet-client-key="$pki/apiserver-kubelet.key" \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key"
  launch n1 kube-apiserver
}

start_controllers() {
  local pki=$cluster/pki component kubeconfigs
  for component in kube-controller-manager kube-scheduler; do
    kubeconfigs=(--kubeconfig="$pki/$component.kubeconfig" --authentication-kubeconfig="$pki/$component.kubeconfig"
      --authorization-kubeconfig="$pki/$component.kubeconfig" --leader-elect=false --bind-address=127.0.0.1)
    if [ "$component" = kube-controller-manager ]; then
      kubeconfigs+=(--root-ca-file="$pki/ca.crt" --service-account-private-key-file="$pki/service-account.key"
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
        --use-service-account-credentials=true --cluster-cidr=10.244.0.0/16 --allocate-node-cidrs=false)
    fi
    define n1 "$component" "$cluster/bin/$component" "${kubeconfigs[@]}"
    launch n1 "$component"
  done
}

start_dns() {
  touch "$cluster/hosts"
  fill "$scripts/Corefile" n1 >"$cluster/Corefile"
  define n1 coredns "$cluster/bin/coredns" -conf "$cluster/Corefile"
  launch n1 coredns
}

start_control_plane() {
  start_etcd
  start_apiserver
  await n1 kube-apiserver 90 ready kubectl get --raw /readyz
  start_controllers
  kubectl apply -f "$scripts/kube-dns.yaml" >/dev/null
  start_dns
  # A pod cannot be made before the controllers made its service account.
  await n1 kube-controller-manager 30 "making service accounts" kubectl get serviceaccount default
}
