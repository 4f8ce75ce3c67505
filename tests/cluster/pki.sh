# The cluster's authority, and the certificates and kubeconfigs that its components show each other. Sourced.
# shellcheck shell=bash

# Long enough for a cluster that somebody forgot at a desk, short enough that nobody builds on it.
certificate_days=30

make_authority() {
  mkdir -p "$cluster/pki"
  (
    cd "$cluster/pki"
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -days "$certificate_days" -subj /CN=kubernetes -out ca.crt \
      -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,digitalSignature
    # Signs the tokens of service accounts.
    openssl genrsa -out service-account.key 2048 2>/dev/null
    openssl rsa -in service-account.key -pubout -out service-account.pub 2>/dev/null
  )
}

# issue NAME SUBJECT clientAuth|serverAuth [SUBJECT-ALTERNATIVE-NAMES]
issue() {
  local name=$1 subject=$2 usage=$3 names=${4:-} extensions
  extensions="extendedKeyUsage=$usage"$'\n'${names:+subjectAltName=$names}
  (
    cd "$cluster/pki"
    openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
    openssl req -new -key "$name.key" -subj "$subject" |
      openssl x509 -req -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -days "$certificate_days" \
        -extfile <(echo "$extensions") -out "$name.crt" 2>/dev/null
  )
}

# issue_client NAME SUBJECT: a client certificate and, beside it, a kubeconfig that needs no other file.
issue_client() {
  local name=$1
  issue "$name" "$2" clientAuth
  (
    cd "$cluster/pki"
    cat >"$name.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: bindproxy-e2e
  cluster:
    server: https://10.9.0.1:6443
    certificate-authority-data: $(base64 -w0 ca.crt)
users:
- name: $name
  user:
    client-certificate-data: $(base64 -w0 "$name.crt")
    client-key-data: $(base64 -w0 "$name.key")
contexts:
- name: bindproxy-e2e
  context: { cluster: bindproxy-e2e, user: $name }
current-context: bindproxy-e2e
YAML
  )
}

issue_control_plane() {
  local service=kubernetes.default
  issue apiserver /CN=kube-apiserver serverAuth \
    "DNS:localhost,DNS:kubernetes,DNS:$service,DNS:$service.svc,DNS:$service.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:10.9.0.1"
  issue apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet clientAuth
  issue front-proxy /CN=front-proxy clientAuth
  issue_client admin /O=system:masters/CN=admin
  issue_client kube-controller-manager /CN=system:kube-controller-manager
  issue_client kube-scheduler /CN=system:kube-scheduler
  issue_client kube-proxy /CN=system:kube-proxy
  issue_client coredns /CN=system:coredns
}

issue_node() {
  local node=$1 address=$2
  issue_client "kubelet-$node" "/O=system:nodes/CN=system:node:$node"
  issue "kubelet-server-$node" "/O=system:nodes/CN=$node" serverAuth "DNS:$node,IP:127.0.0.1,IP:$address"
}
