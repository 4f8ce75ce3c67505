# The cgroup `bindproxy-e2e`: everything that the cluster ever started is in it, components, shims and containers, and
# so it is also the record of what has to end. Sourced.
# shellcheck shell=bash

cgroup=bindproxy-e2e

# The hierarchies of version 1, with the unified one beside them; the unified one alone where there is only version 2.
hierarchies() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo /sys/fs/cgroup
  else
    find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
  fi
}

# Where the components are; `pids` because every kernel with containers has it.
components_cgroup() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup/$cgroup/components"
  else
    echo "/sys/fs/cgroup/pids/$cgroup/components"
  fi
}

# In version 2 a group with processes of its own cannot give controllers to its children, and in a container that is
# the root itself: its processes move into a child.
give_controllers() {
  local group=$1 controllers controller pid
  controllers=$(cat "$group/cgroup.controllers" 2>/dev/null || true)
  [ -n "$controllers" ] || return 0
  if [ "$group" = /sys/fs/cgroup ] && [ -e "$group/cgroup.type" ]; then
    mkdir -p "$group/init"
    while read -r pid; do
      echo "$pid" >"$group/init/cgroup.procs" 2>/dev/null || true
    done <"$group/cgroup.procs"
  fi
  for controller in $controllers; do
    echo "+$controller" >"$group/cgroup.subtree_control" ||
      fail "cgroup $group: the controller $controller cannot be given to its children"
  done
}

make_cgroup() {
  local hierarchy path=$1 parent file group
  for hierarchy in $(hierarchies); do
    group=$hierarchy
    for parent in ${path//\// }; do
      give_controllers "$group"
      # A new cpuset is empty, and nothing can run in it.
      mkdir -p "$group/$parent"
      for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$group/tasks" ] || [ ! -e "$group/$file" ] || cat "$group/$file" >"$group/$parent/$file"
      done
      group=$group/$parent
    done
  done
}

processes_in_cgroup() {
  local hierarchy
  for hierarchy in $(hierarchies); do
    [ -d "$hierarchy/$cgroup" ] || continue
    find "$hierarchy/$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -nu
}

# A process that starts another one while it is killed makes another round necessary.
kill_processes_in_cgroup() {
  local pids round
  for round in {1..100}; do
    pids=$(processes_in_cgroup)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.1
  done
  echo "processes that do not end ($round rounds):" >&2
  # shellcheck disable=SC2086
  ps -o pid,stat,args -p "$(echo $pids | tr ' ' ,)" >&2
  return 1
}

remove_cgroup() {
  local hierarchy
  for hierarchy in $(hierarchies); do
    [ ! -d "$hierarchy/$cgroup" ] || find "$hierarchy/$cgroup" -depth -type d -exec rmdir {} \;
  done
}
