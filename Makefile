# Two commands in the main: `make demo` and `make test`. Both set up whatever is missing first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export CARGO_TARGET_DIR ?= $(HOME)/.cache/hither/target
export HITHER_CACHE ?= $(HOME)/.cache/hither
CARGO := cargo
HITHER := $(CARGO_TARGET_DIR)/release/hither

.PHONY: help build verifier demo test models oracle setup tidy

help:
	@echo "make demo    three sites on this machine, six steps, real models"
	@echo "make test    the whole test suite"
	@echo "make oracle  the law beside Cedar, on 100,000 drawn questions"
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

# A folder of its own, for it is a workspace of its own.
oracle: export CARGO_TARGET_DIR := $(CARGO_TARGET_DIR)/oracle
oracle:
	$(CARGO) run --release --locked --manifest-path oracle/Cargo.toml -- check
	$(CARGO) run --release --locked --manifest-path oracle/Cargo.toml -- faults

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
