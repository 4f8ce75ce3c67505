#!/usr/bin/env bash
# Takes the network away between pods.
#
#   cut.sh ADDRESS ADDRESS [PERCENT]   drops this share of the packets between two pods, both ways (default: all)
#   cut.sh --to ADDRESS ADDRESS[:PORT] [PERCENT]   those from the first to the second alone, or to one TCP port of it
#   cut.sh --heal                      ends all cuts
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for part in process network; do
  # shellcheck disable=SC1090
  . "$scripts/$part.sh"
done

# Every node gets the rules: what pods of one node say to each other passes the same hook, for the sake of Services.
in_all_nodes() {
  local node rules
  rules=$(cat)
  for node in $(nodes); do
    in_namespace "$(namespace "$node")" nft -f - <<<"$rules"
  done
}

if [ "${1:-}" = --heal ]; then
  # Added first, because what is not there cannot be deleted.
  printf 'table ip bindproxy_cut {}\ndelete table ip bindproxy_cut\n' | in_all_nodes
  exit 0
fi

one_way=
if [ "${1:-}" = --to ]; then
  one_way=yes
  shift
fi
[ $# -ge 2 ] || fail "cut.sh [--to] ADDRESS ADDRESS [PERCENT], or cut.sh --heal"
# On the node of the sender alone: a packet between two nodes passes both, and would be drawn for twice.
lost='iifname "cni0"'
[ "${3:-100}" -eq 100 ] || lost="$lost numgen random mod 100 < $3"
to="ip daddr ${2%:*}"
[ "$2" = "${2%:*}" ] || to="$to tcp dport ${2##*:}"
back="ip saddr $2 ip daddr $1 $lost drop"
[ -z "$one_way" ] || back=
in_all_nodes <<NFT
table ip bindproxy_cut {
  chain forward {
    type filter hook forward priority -10; policy accept;
    ip saddr $1 $to $lost drop
    $back
  }
}
NFT
