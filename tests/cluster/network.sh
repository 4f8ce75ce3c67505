# The network of the nodes: one namespace for each, all on a bridge that stands in a namespace of its own, so that no
# packet filter of this machine has a say between two nodes. Sourced.
# shellcheck shell=bash
#
#   this machine 10.9.0.254 ── bindproxy-hub ──┬── bindproxy-n1 10.9.0.1  pods 10.244.0.0/24
#                                              └── bindproxy-n2 10.9.0.2  pods 10.244.1.0/24

host_link=bindproxy-e2e
host_address=10.9.0.254
hub=bindproxy-hub

namespace() { echo "bindproxy-$1"; }
node_address() { echo "10.9.0.${1#n}"; }
pod_subnet() { echo "10.244.$((${1#n} - 1)).0/24"; }

# Not `ip netns exec`: it mounts a new /sys, and with that hides the cgroups.
in_namespace() {
  local name=$1
  shift
  nsenter --net="/run/netns/$name" "$@"
}

# Whoever has another cluster of this kind, or the addresses, is told so before anything is made.
refuse_taken_network() {
  local owner range taken
  if [ -e "/sys/class/net/$host_link" ]; then
    owner=$(cat "/sys/class/net/$host_link/ifalias")
    [ "$owner" = "$cluster" ] ||
      fail "another cluster of this kind is up, its files are in $owner: take it down with BINDPROXY_CLUSTER_DIR=$owner make cluster-down"
    return 0
  fi
  for range in 10.9.0.0/24 10.96.0.0/16 10.244.0.0/16; do
    taken=$(ip -4 route show root "$range"; ip -4 addr show to "$range")
    [ -z "$taken" ] || fail "the cluster's network $range is in use on this machine: $taken"
  done
}

make_hub() {
  ip netns add "$hub"
  ip -n "$hub" link add nodes type bridge
  ip -n "$hub" link set nodes up
  ip link add "$host_link" type veth peer name host netns "$hub"
  # The alias tells the next run whose this is.
  ip link set "$host_link" alias "$cluster"
  ip -n "$hub" link set host master nodes up
  ip addr add "$host_address/24" dev "$host_link"
  ip link set "$host_link" up
  ip route add 10.96.0.0/16 via "$(node_address n1)"
}

join_network() {
  local node=$1 address name other
  address=$(node_address "$node")
  name=$(namespace "$node")
  ip netns add "$name"
  ip link add "$node" netns "$hub" type veth peer name eth0 netns "$name"
  ip -n "$hub" link set "$node" master nodes up
  ip -n "$name" link set lo up
  ip -n "$name" addr add "$address/24" dev eth0
  ip -n "$name" link set eth0 up
  ip -n "$name" route add default via "$host_address"
  in_namespace "$name" sysctl -qw net.ipv4.ip_forward=1
  # Without it the answer of a pod to a neighbour that asked a Service takes the short way back, with the wrong address.
  [ -d /proc/sys/net/bridge ] || modprobe br_netfilter ||
    fail "the kernel module br_netfilter is needed: modprobe br_netfilter"
  in_namespace "$name" sysctl -qw net.bridge.bridge-nf-call-iptables=1

  ip route add "$(pod_subnet "$node")" via "$address"
  for other in $(nodes); do
    [ "$other" != "$node" ] || continue
    ip -n "$name" route add "$(pod_subnet "$other")" via "$(node_address "$other")"
    ip -n "$(namespace "$other")" route add "$(pod_subnet "$node")" via "$address"
  done
}

remove_network() {
  local name
  for name in $(ip netns list | awk '/^bindproxy-(hub|n[0-9]+)( |$)/ { print $1 }'); do
    ip netns del "$name"
  done
  # A pair ends with its other half; this is for a hub that was not finished.
  ip link del "$host_link" 2>/dev/null || true
}
