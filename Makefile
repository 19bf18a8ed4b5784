# `make` lists what there is. To build, run and test: make, cargo, a C compiler.
# End to end and conformance tests use more; they say what when it is missing.

# Where cargo builds; tests/ reads the same variable.
BINARY = $(or $(CARGO_TARGET_DIR),target)/release/registry

.DEFAULT_GOAL := help
.PHONY: help build run test check e2e clients conformance scale links crash model fuzz bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## build the release binary, target/release/registry
	cargo build --release --locked

# exec: the server takes the shell's place, so that signals reach it and not a parent.
run: build ## build and serve 127.0.0.1:5080 from testdata/   (more flags: ARGS="--log-level debug")
	@exec $(BINARY) serve $(ARGS)

test: ## unit, integration and wire tests
	cargo test --locked

check: ## formatting, clippy and documentation without a warning, then the tests
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	@$(MAKE) --no-print-directory test

e2e: build ## docker, podman, skopeo and curl with real images (root; Debian's packages)
	tests/e2e/run.sh

clients: build ## containerd, buildkit, crane, regctl, oras, helm, cosign (root; tests/e2e/clients-install.sh builds them)
	tests/e2e/run.sh clients

conformance: build ## the official OCI suite, 1.1 and dev   (already built: CONFORMANCE=/path/to/it)
	tests/conformance/run.sh

scale: build ## three registries over one directory behind nginx, and the official suite through it
	tests/scale/run.sh

links: build ## one blob in 70,000 repositories, past the links that ext4 gives a file (root)
	tests/scale/links.sh

# cargo test runs a short version.
crash: export ROUNDS ?= 200
crash: ## crash safety: every step, loss of power, SIGKILL, full disk   (ROUNDS=200; SEED=… replays; root)
	cargo test --locked --release --test crash

# cargo test runs a short version of this, too.
model: export ROUNDS ?= 20
model: export SECONDS ?= 60
model: ## random operations against a model, and races   (ROUNDS=20; SECONDS=60 for the race; SEED=… replays)
	cargo test --locked --release --test model

fuzz: SECONDS ?= 60
fuzz: ## feed the parsers what a fuzzer makes up   (SECONDS=60 for each target; TARGETS="head json"; a C++ compiler)
	tests/fuzz/run.sh $(SECONDS) $(TARGETS)

# A thousand connections need descriptors.
bench: ## beside docker-registry and nginx: a table, and whether each bar is reached   (ROWS=push,pull PAIRS=9)
	ulimit -n "$$(ulimit -Hn)" && cargo bench --locked --bench peers

# git keeps testdata/ itself by the .gitignore in it.
clean: ## remove what builds and runs left, testdata included
	cargo clean
	find testdata -mindepth 1 ! -path testdata/.gitignore -delete
