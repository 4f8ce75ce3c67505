#!/usr/bin/env bash
# For tests of what happens without a component, or when it comes back.
#
#   component.sh stop NODE COMPONENT [SIGNAL]   and waits until it has ended (default: TERM)
#   component.sh start NODE COMPONENT           with the command and the log that it had before
#   component.sh list                           node, component, process ID or `ended`
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
for part in process network cgroups; do
  # shellcheck disable=SC1090
  . "$scripts/$part.sh"
done

if [ "${1:-}" = list ]; then
  for node in $(nodes); do
    for component in $(components "$node"); do
      printf '%-4s %-24s %s\n' "$node" "$component" "$(running "$node" "$component" || echo ended)"
    done
  done
  exit 0
fi

[ $# -ge 3 ] || fail "component.sh stop|start NODE COMPONENT, or component.sh list"
[ -e "$cluster/$2/run/$3" ] || fail "component.sh: no component $3 on $2; component.sh list tells all"
lock_cluster
case "$1" in
  stop) stop "$2" "$3" "${4:-TERM}" ;;
  start) running "$2" "$3" >/dev/null || launch "$2" "$3" ;;
  *) fail "component.sh: unknown action $1" ;;
esac
