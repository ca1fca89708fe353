# `make` lists the targets. The work is done by cargo and by the scripts in scripts/.

SHELL   := /bin/sh
CARGO   ?= cargo
# What `make demo` builds and starts: dev, which `make test` builds too, or release, which takes minutes longer.
PROFILE ?= dev
# Flags for the bench, for example BENCH_FLAGS="--only h1,h2", and QUICK=1 for its short form.
BENCH_FLAGS ?=
# Flags for the demo, for example DEMO_FLAGS="--http 127.0.0.1:8081".
DEMO_FLAGS ?=

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
BINARY      = $(TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/tidegate

# What `tidegate -V` and tidegate_build_info say of a release. Not set for dev builds, which would be made anew for it.
RELEASES := release $(if $(filter release,$(PROFILE)),demo)
$(RELEASES): export TIDEGATE_COMMIT = $(or $(shell git rev-parse --short=12 HEAD 2>/dev/null),unknown)
$(RELEASES): export TIDEGATE_RUSTC = $(shell rustc --version)

.DEFAULT_GOAL := help
.PHONY: help demo test build release check lint fmt unit blocks budget filters testssl micro bench image sbom fuzz audit deny clean needs-build needs-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: needs-build ## build, then start backends and Tidegate in front of them; Ctrl-C stops
	$(CARGO) build --locked --profile $(PROFILE) --bin tidegate
	@exec $(BINARY) demo $(DEMO_FLAGS)

test: needs-test lint unit blocks budget ## install what the tests need, then format check, clippy, tests, README, budget

build: needs-build ## build for development
	$(CARGO) build --locked

release: needs-build ## build the binary that is shipped, target/release/tidegate, and its SBOM if cargo-cyclonedx is there
	$(CARGO) build --locked --release --bin tidegate
	@if $(CARGO) cyclonedx --version >/dev/null 2>&1; then scripts/sbom $(TARGET_DIR)/release/tidegate.cdx.json; \
	else echo "no SBOM: cargo install --locked cargo-cyclonedx, then make sbom"; fi

sbom: ## write what the binary is made of: target/release/tidegate.cdx.json (CycloneDX)
	scripts/sbom $(TARGET_DIR)/release/tidegate.cdx.json

check: needs-build lint ## format check and clippy, warnings are errors

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	shellcheck scripts/* .ci/run benches/compare/run benches/budget/run

fmt: ## format the code
	$(CARGO) fmt

unit: # every test of the crate, and of the bench's scripts
	$(CARGO) test --locked
	PYTHONDONTWRITEBYTECODE=1 python3 -m unittest discover -q -s benches/compare/tests -t benches

blocks: # the README's command blocks, against a demo that really runs
	scripts/readme-blocks README.md

budget: needs-test ## count the instructions of a request against benches/budget/budget.toml; UPDATE=1 writes it anew
	$(CARGO) build --locked --profile budget --bin tidegate
	benches/budget/run $(if $(UPDATE),--update) --program $(TARGET_DIR)/budget/tidegate

filters: needs-test ## count what each feature adds to a request, for docs/performance.md
	$(CARGO) build --locked --profile budget --bin tidegate
	benches/budget/run --filters --program $(TARGET_DIR)/budget/tidegate

testssl: needs-build ## scan the TLS of config/tidegate.toml with testssl.sh: no finding above LOW, grade A
	$(CARGO) build --locked --bin tidegate
	scripts/install-needs build scan
	scripts/testssl $(TARGET_DIR)/debug/tidegate

micro: needs-build ## time the parts of a request's way; PART=limit times those with this in their name
	$(CARGO) bench --locked --profile budget --bench micro -- $(PART)

bench: release ## measure beside nginx, HAProxy, Caddy and pingora-proxy; QUICK=1 for the short form
	benches/compare/run $(if $(QUICK),--quick) $(BENCH_FLAGS)

# Seconds for each target of the fuzzer, and which; the corpora that grow are kept beside the build.
SECONDS_EACH = $(or $(filter-out 0,$(SECONDS)),60)
FUZZ_TARGETS = $(or $(TARGET),$(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))))

fuzz: needs-build ## fuzz each target for a minute: SECONDS=3600, TARGET=exchange (a nightly toolchain, cargo install cargo-fuzz)
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/target/corpus/$$target && \
		$(CARGO) +nightly fuzz run --sanitizer none $$target fuzz/target/corpus/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(SECONDS_EACH) -timeout=25 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 || exit 1; \
	done

audit: ## check all dependencies against the advisory database a second way (cargo install cargo-audit)
	$(CARGO) audit --deny warnings

deny: ## check licenses, advisories and sources of all dependencies (cargo install cargo-deny)
	$(CARGO) deny check

image: ## build the container image tidegate:latest
	docker build --build-arg COMMIT=$$(git rev-parse --short=12 HEAD) --tag tidegate:latest .

clean: ## remove what was built
	$(CARGO) clean

needs-build:
	@scripts/install-needs build

needs-test:
	@scripts/install-needs build test
	@CARGO_TARGET_DIR=$(TARGET_DIR) scripts/newer-pebble
