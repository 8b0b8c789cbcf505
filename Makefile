# Two commands: `make demo` and `make test`. Both set up whatever is missing first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export CARGO_TARGET_DIR ?= $(HOME)/.cache/hither/target
export HITHER_CACHE ?= $(HOME)/.cache/hither
CARGO := cargo
HITHER := $(CARGO_TARGET_DIR)/release/hither

.PHONY: help build verifier demo test models setup tidy

help:
	@echo "make demo    three sites on this machine, six steps, real models"
	@echo "make test    the whole test suite"
	@echo "make build   only the program: $(HITHER)"
	@echo "make verifier  the auditor's program alone, static, below $(CARGO_TARGET_DIR)"

setup:
	@scripts/setup build

models:
	@scripts/fetch-models

build: setup
	$(CARGO) build --release --locked --package hither

# The auditor's program, with nothing that it needs from the machine: for a stick, or a machine without a network.
verifier: setup
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --package hither-ledger \
		--bin hither-ledger-verify --target $$(rustc -vV | sed -n 's/^host: //p')

demo: build models
	$(HITHER) demo --models models

tidy:
	$(CARGO) test --release --locked --package xtask

test: models
	@scripts/setup test
	@scripts/fetch-models providers operators
	@scripts/venv
	@scripts/venv frameworks
	@scripts/venv openapi
	@scripts/node-clients
	@scripts/conformance/setup >/dev/null
	HITHER_NEEDS_MODELS=1 $(CARGO) test --release --locked --workspace
	@$(MAKE) --no-print-directory verifier
	@scripts/test-product $(HITHER)
