#!/usr/bin/env bash
# Builds the programs of a cluster from their Go modules, into the cache; what is there already is not built again.
#
#   build.sh [GROUP...]      these groups, or all: kubernetes kubectl coredns helm helm3 pause definitions
#   build.sh --path PROGRAM  prints where the program is, or will be, and builds nothing
#
# A group's folder is named by a hash of all that shapes it (modules, own source, flags), so that a new Helm
# does not build Kubernetes again. BINDPROXY_CACHE says where the cache is, else it is ~/.cache/bindproxy.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/paths.sh"

groups=(kubernetes kubectl coredns helm helm3 pause definitions)

declare -A module=(
  [kubernetes]=kubernetes [kubectl]=kubernetes [coredns]=coredns [helm]=helm [helm3]=helm3 [pause]=pause
  [definitions]=definitions
)
# Each group's programs as NAME=PACKAGE. Resource definitions are files of their projects' modules, NAME=MODULE:FILE: they are
# taken as they are, and nothing is compiled.
kubernetes=k8s.io/kubernetes/cmd
monitoring=github.com/prometheus-operator/prometheus-operator:example/prometheus-operator-crd/monitoring.coreos.com
declare -A programs=(
  [kubernetes]="kube-apiserver=$kubernetes/kube-apiserver kube-controller-manager=$kubernetes/kube-controller-manager
    kube-scheduler=$kubernetes/kube-scheduler kubelet=$kubernetes/kubelet kube-proxy=$kubernetes/kube-proxy"
  [kubectl]="kubectl=$kubernetes/kubectl"
  [coredns]="coredns=."
  [helm]="helm=helm.sh/helm/v4/cmd/helm"
  [helm3]="helm3=helm.sh/helm/v3/cmd/helm"
  [pause]="pause=."
  [definitions]="podmonitors.yaml=${monitoring}_podmonitors.yaml servicemonitors.yaml=${monitoring}_servicemonitors.yaml
    prometheusrules.yaml=${monitoring}_prometheusrules.yaml
    certificates.yaml=github.com/cert-manager/cert-manager:deploy/crds/cert-manager.io_certificates.yaml"
)

# The version of a module that a group's go.mod requires.
required() {
  awk -v path="$2" '$1 == path && $2 ~ /^v/ { print $2; exit } $1 == "require" && $2 == path { print $3; exit }' \
    "$scripts/modules/$1/go.mod"
}

# Without a version the API server calls itself v0.0.0-master, and then kubectl's and Helm's checks of versions fail.
linker_flags() {
  local version package minor
  case "$1" in
    kubernetes | kubectl)
      version=$(required kubernetes k8s.io/kubernetes)
      minor=${version#v1.}
      printf -- '-s -w'
      for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        printf -- ' -X %s.%s' "$package" "gitVersion=$version" "$package" "gitMajor=1" "$package" "gitMinor=${minor%%.*}" \
          "$package" "gitTreeState=clean" "$package" "gitCommit=module-proxy" "$package" "buildDate=2026-01-01T00:00:00Z"
      done
      ;;
    helm) printf -- '-s -w -X helm.sh/helm/v4/internal/version.version=%s' "$(required helm helm.sh/helm/v4)" ;;
    helm3)
      # Helm 3 does not read from its own modules which Kubernetes it is for, and renders charts for 1.20 when nobody says.
      minor=$(required helm3 k8s.io/client-go)
      minor=${minor#v0.}
      printf -- '-s -w -X helm.sh/helm/v3/internal/version.version=%s' "$(required helm3 helm.sh/helm/v3)"
      for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
        printf -- ' -X %s.k8sVersionMajor=1 -X %s.k8sVersionMinor=%s' "$package" "$package" "${minor%%.*}"
      done
      ;;
    *) printf -- '-s -w' ;;
  esac
}

folder() {
  local key
  key=$({
    echo "${programs[$1]}" "$(linker_flags "$1")"
    cd "$scripts/modules/${module[$1]}"
    cat go.mod
    [ ! -e go.sum ] || cat go.sum
    [ ! -e main.go ] || cat main.go
  } | sha256sum)
  echo "$cache/tools/$1-${key:0:16}"
}

compile() {
  local group=$1 entry packages=() output
  for entry in ${programs[$group]}; do
    packages+=("${entry#*=}")
  done
  # One call for a whole group keeps all cores busy while it links. A folder as output names programs after their packages.
  output=$staging/
  [ ${#packages[@]} -gt 1 ] || output=$staging/${entry%%=*}
  (cd "$scripts/modules/${module[$group]}" && go build -trimpath -ldflags "$(linker_flags "$group")" -o "$output" "${packages[@]}")
}

# Files of modules, which are compared with go.sum as they come.
take() {
  local group=$1 entry source dir
  for entry in ${programs[$group]}; do
    source=${entry#*=}
    dir=$(cd "$scripts/modules/${module[$group]}" && go mod download "${source%%:*}" && go list -m -f '{{.Dir}}' "${source%%:*}") &&
      cp "$dir/${source#*:}" "$staging/${entry%%=*}" || return 1
  done
}

build() {
  local group=$1 into means=compile started=$SECONDS
  into=$(folder "$group")
  [ ! -d "$into" ] || return 0
  echo "building ${group}: $(sed 's/=[^ ]*//g' <<<"${programs[$group]}" | xargs)"
  staging=$(mktemp -d "$cache/tools/.$group.XXXXXX")
  [ "$group" != definitions ] || means=take
  "$means" "$group" || fail "building $group failed; its modules come from the Go module proxy (GOPROXY=$(go env GOPROXY))"
  chmod 755 "$staging"
  mv -T "$staging" "$into"
  echo "built $group in $((SECONDS - started)) s: $into"
}

if [ "${1:-}" = --path ]; then
  for group in "${groups[@]}"; do
    for entry in ${programs[$group]}; do
      if [ "${entry%%=*}" = "$2" ]; then
        echo "$(folder "$group")/$2"
        exit 0
      fi
    done
  done
  fail "build.sh: no group has a program $2"
fi

[ $# -gt 0 ] || set -- "${groups[@]}"
missing=()
for group in "$@"; do
  [ -n "${programs[$group]:-}" ] || fail "build.sh: no group $group; there are: ${groups[*]}"
  [ -d "$(folder "$group")" ] || missing+=("$group")
done
[ ${#missing[@]} -gt 0 ] || exit 0

"$repository/.ci/need" go
export GOCACHE=$cache/go-build GOMODCACHE=$cache/go-mod GOFLAGS=-modcacherw CGO_ENABLED=0 GOWORK=off
mkdir -p "$cache/tools"
staging=
trap 'rm -rf "$staging"' EXIT
# A second build waits here, and then finds everything built.
exec 9>"$cache/tools/.lock"
flock -n 9 || { echo "another build is running, waiting for it" && flock 9; }
for group in "${missing[@]}"; do
  build "$group"
done
