# Every command of the project. The CI runs the same targets (.ci/run); nothing else is needed to build, test or measure.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/local/go/bin

TIMED = .ci/timed target/ci/$@.phases
# First in a recipe of several steps: the times are told at its end, also when a step fails.
TELL_TIMES = trap '.ci/timed --report target/ci/$@.phases' EXIT; rm -f target/ci/$@.phases; mkdir -p target/ci

.PHONY: help demo check test generate e2e e2e-full cluster-up cluster-down images bench fuzz dist clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a stale password hammers a directory, without and with the proxy (ONCE=1: end after the story)
	@.ci/need cargo cc
	@cargo build --locked --package bindproxy --bin bindproxy
	@exec target/debug/bindproxy demo $(if $(ONCE),--once)

check: ## formatting, lints, documentation, dependency policy
	@$(TELL_TIMES); \
	.ci/need cargo cc; \
	$(TIMED) "lock file is current" cargo fetch --locked; \
	$(TIMED) "cargo fmt" cargo fmt --all --check; \
	$(TIMED) "cargo fmt of the fuzz targets" cargo fmt --manifest-path proxy/fuzz/Cargo.toml --check; \
	$(TIMED) "cargo clippy" cargo clippy --locked --workspace --all-targets --all-features --keep-going -- -D warnings; \
	RUSTDOCFLAGS="-D warnings" $(TIMED) "cargo doc" cargo doc --locked --workspace --all-features --no-deps; \
	$(TIMED) "install cargo-deny" .ci/need cargo-deny; \
	$(TIMED) "cargo deny" .ci/deny

# --all-targets builds the programs with the same features as the tests, so that no dependency is built twice.
test: ## every test that needs no cluster; installs the servers and clients that they use (ARGS: passed to cargo test)
	@$(TELL_TIMES); \
	.ci/need cargo cc; \
	$(TIMED) "Debian packages" .ci/packages tests/packages.txt; \
	$(TIMED) "build programs and tests" cargo build --locked --workspace --all-targets; \
	$(TIMED) "run tests" .ci/test $(ARGS)

# By way of target/, so that a fault leaves the committed files as they are.
generate: ## refreshes what is made of the BindProxy types: the CRD in both charts, and docs/reference.md
	@.ci/need cargo cc
	@cargo build --locked --package bindproxy-operator
	@mkdir -p target/generate
	@target/debug/bindproxy-operator crd > target/generate/bindproxies.yaml
	@target/debug/bindproxy-operator crd --reference > target/generate/reference.md
	@for chart in bindproxy-crds bindproxy-operator; do cp target/generate/bindproxies.yaml charts/$$chart/manifests/; done
	@cp target/generate/reference.md docs/

# Whoever has a cluster gives its KUBECONFIG and needs nothing of Kubernetes built but the command line tools.
e2e: ## every test that needs a cluster: on that of KUBECONFIG, else on one that is started here (KEEP=1 leaves it up; ARGS)
	@rm -f target/ci/$@.phases; mkdir -p target/ci; \
	down=; \
	trap '[ -z "$$down" ] || $(TIMED) "cluster down" tests/cluster/down.sh; .ci/timed --report target/ci/$@.phases' EXIT; \
	.ci/need cargo cc; \
	$(TIMED) "Debian packages" .ci/packages tests/packages.txt tests/cluster/packages.txt; \
	$(TIMED) "build tools" tests/cluster/build.sh $${KUBECONFIG:+kubectl helm helm3 definitions}; \
	$(TIMED) "images" deploy/images.sh; \
	$(TIMED) "build tests" cargo test --locked --package bindproxy-tests --features kubernetes --test charts --test kubernetes --no-run; \
	if [ -z "$${KUBECONFIG:-}" ]; then \
	  tests/cluster/up.sh --is-up || down=$(if $(KEEP),,yes); \
	  $(TIMED) "cluster up" tests/cluster/up.sh --nodes 2; \
	fi; \
	$(TIMED) "run tests" .ci/e2e $(ARGS)

# What lasts minutes by its nature (outages, the soak) is cut short in `make e2e` and runs in full length here.
e2e-full: ## the same, with the long ones in full length: an hour or more
	@BINDPROXY_E2E_FULL=1 $(MAKE) e2e

cluster-up: ## a Kubernetes cluster of two nodes on this machine, for a desk (NODES=2; needs root)
	@tests/cluster/up.sh --nodes $(or $(NODES),2)

cluster-down: ## ends it and leaves nothing behind
	@tests/cluster/down.sh

images: ## OCI archives of both images in target/images, without a container daemon (IMAGE_REGISTRY, IMAGE_TAG, BINARIES)
	@$(if $(BINARIES),,.ci/need cargo cc;) deploy/images.sh

bench: ## every benchmark against its peers: one table, and target/bench/results.json (ROUNDS=5 SECS=2 ONLY=cached)
	@.ci/need cargo cc
	@.ci/packages tests/bench/packages.txt
	@cargo build --locked --release --package bindproxy --package bindproxy-bench --bins
	@target/release/bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECS),--secs $(SECS)) $(if $(ONLY),--only $(ONLY)) $(ARGS)

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(basename $(wildcard proxy/fuzz/fuzz_targets/*.rs)))
# New inputs go to target/fuzz; the committed corpus only grows by hand.
fuzz: ## every fuzz target for FUZZ_SECONDS=60 each (FUZZ_TARGETS="frame bind_request" for some)
	@test -n "$(FUZZ_TARGETS)" || { echo "no fuzz target in proxy/fuzz/fuzz_targets" >&2; exit 1; }
	@$(TELL_TIMES); \
	.ci/need cargo cc cargo-fuzz; \
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p target/fuzz/$$target proxy/fuzz/corpus/$$target; \
	  $(TIMED) "$$target" cargo +nightly fuzz run --fuzz-dir proxy/fuzz $$target target/fuzz/$$target proxy/fuzz/corpus/$$target \
	    -- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1; \
	done

dist: ## one static binary with completions, man page, unit file and examples, in target/dist
	@.ci/need cargo cc
	@deploy/dist.sh

clean: ## removes everything that was built
	@cargo clean
	@rm -rf proxy/fuzz/target
