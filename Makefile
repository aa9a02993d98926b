# Everything a newcomer needs: `make run` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE_SOURCES := $(shell find sfu/engine/src -name '*.rs') sfu/engine/Cargo.toml Cargo.toml Cargo.lock pyproject.toml
LOAD_SOURCES := $(shell find tests/load/native -name '*.rs' 2>/dev/null) $(wildcard tests/load/native/Cargo.toml)
ARGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.deps: requirements.lock
	@command -v cargo >/dev/null || { echo "Aislecast needs Rust (cargo): https://rustup.rs, or your system's rustc and cargo, 1.88 or newer"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Aislecast needs Python 3.11 or newer"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.engine: $(VENV)/.deps $(ENGINE_SOURCES)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: $(VENV)/.engine ## Make the environment in .venv and build the engine

.PHONY: run
run: setup ## Start on embedded defaults with a demonstration store
	$(BIN)/aislecast serve --demo $(ARGS)

$(VENV)/.load: $(VENV)/.engine $(LOAD_SOURCES)
	cargo build --quiet --release --locked -p aislecast-load
	@cp target/release/libaislecast_load.so tests/load/aislecast_load.so
	@touch $@

.PHONY: test unit integration e2e engine-test
test: engine-test unit integration e2e ## Run every test: engine, unit, integration, browser

engine-test:
	cargo test --quiet --locked --workspace

unit: setup
	$(BIN)/python -m pytest -q tests/unit $(ARGS)

# Most of these wait for a call to do something, so two run beside each other; those marked `alone`
# (see pyproject.toml) come after them, one by one. With ARGS either pass may find nothing to do.
NONE_IS_FINE = $(if $(ARGS),|| test $$? -eq 5)
define in-two-passes
	$(BIN)/python -m pytest -q -m "not alone" --numprocesses 2 --dist worksteal $(1) $(ARGS) $(NONE_IS_FINE)
	$(BIN)/python -m pytest -q -m alone $(1) $(ARGS) $(NONE_IS_FINE)
endef

integration: setup
	$(call in-two-passes,tests/integration)

e2e: setup
	$(BIN)/python tests/support/testkit/browser_check.py
	$(call in-two-passes,tests/e2e)

.PHONY: lint
lint: setup ## Run ruff, mypy --strict, import-linter, cargo fmt and clippy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest sfu.engine._native
	$(BIN)/lint-imports --no-cache
	cargo fmt --all --check
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	cargo clippy --quiet --locked -p aislecast-engine --all-targets --features python -- -D warnings

.PHONY: format
format: setup ## Format Python and Rust
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cargo fmt --all

.PHONY: bench
bench: setup $(VENV)/.load ## Measure forwarding, delay, joins, memory and recording; LIVEKIT=path adds a peer
	$(BIN)/python tests/bench/run.py $(ARGS)

.PHONY: weaknet
weaknet: setup ## Measure real clients behind simulated links (root); ARGS="--rows … --seconds … --url …"
	$(BIN)/python tests/bench/weaknet_table.py $(ARGS)

.PHONY: weakroom
weakroom: setup ## The demonstration behind a simulated link that you change while you watch (root)
	$(BIN)/python tests/bench/weak_room.py $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZ_SECONDS each (needs cargo-fuzz and a nightly toolchain)
	tests/bench/fuzz.sh $${FUZZ_SECONDS:-60}

.PHONY: lock
lock: $(VENV)/.deps ## Refresh requirements.lock from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -q -o requirements.lock
