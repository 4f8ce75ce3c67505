# Components: started in their node's network namespace, recorded, awaited, stopped. Sourced.
# shellcheck shell=bash
#
# For each there are, in the node's folder: run/COMPONENT (the command), pids/COMPONENT (process ID, its start time and
# the boot, so that a number that was given out again is not taken for the component) and logs/COMPONENT.log.

boot=$(cat /proc/sys/kernel/random/boot_id)

nodes() { find "$cluster" -maxdepth 1 -name 'n[0-9]*' -printf '%f\n' 2>/dev/null | sort -V; }
components() { find "$cluster/$1/pids" -type f -printf '%f\n' 2>/dev/null | sort; }

# In ticks since the boot; empty when there is no such process, or only its remains.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The name in parentheses may hold anything.
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [ "$1" = Z ] || echo "${20}"
}

# Prints the process ID of a component if it is still the one that was started.
running() {
  local pid started at
  [ -e "$cluster/$1/pids/$2" ] || return 1
  read -r pid started at <"$cluster/$1/pids/$2"
  [ "$at" = "$boot" ] && [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

# define NODE COMPONENT COMMAND...: what `launch` runs, now and when a test starts it again.
define() {
  local folder=$cluster/$1 component=$2
  shift 2
  mkdir -p "$folder"/{run,pids,logs}
  {
    echo '#!/bin/bash'
    printf 'exec'
    printf ' %q' "$@"
    echo
  } >"$folder/run/$component"
  chmod +x "$folder/run/$component"
}

launch() {
  local node=$1 component=$2 folder=$cluster/$1 pid
  (
    echo "$BASHPID" >"$(components_cgroup)/cgroup.procs"
    # Descriptor 9 is the lock of whoever calls this, and must not live as long as the component.
    exec setsid nsenter --net="/run/netns/$(namespace "$node")" "$folder/run/$component" \
      </dev/null >>"$folder/logs/$component.log" 2>&1 9>&-
  ) &
  pid=$!
  echo "$pid $(start_time "$pid") $boot" >"$folder/pids/$component"
}

# await NODE COMPONENT SECONDS WHAT COMMAND...: until the command succeeds; says what the component wrote if it does not.
await() {
  local node=$1 component=$2 seconds=$3 what=$4 deadline
  shift 4
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    running "$node" "$component" >/dev/null || blame "$node" "$component" "$component on $node ended before $what"
    [ "$SECONDS" -lt "$deadline" ] || blame "$node" "$component" "$component on $node: not $what within $seconds s"
    sleep 0.1
  done
}

blame() {
  local log=$cluster/$1/logs/$2.log
  {
    echo "$3. The end of $log:"
    tail -n 20 "$log" | cut -c1-400 | sed 's/^/  /'
  } >&2
  exit 1
}

# stop NODE COMPONENT [SIGNAL]: and waits until it has ended.
stop() {
  local node=$1 component=$2 signal=${3:-TERM} pid deadline=$((SECONDS + 20))
  pid=$(running "$node" "$component") || return 0
  kill -s "$signal" "$pid"
  while running "$node" "$component" >/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      kill -s KILL "$pid" 2>/dev/null || true
      deadline=$((SECONDS + 20))
    fi
    sleep 0.1
  done
}
