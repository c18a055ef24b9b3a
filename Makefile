# The handles of the project; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CLUSTER ?= local
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export CLUSTER

.PHONY: help venv lock crds check test unit demo cluster cluster-down image install bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

venv: $(VENV)/.ready ## the Python environment, from the lock file
$(VENV)/.ready: requirements/dev.lock pyproject.toml
	@echo "==> Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: venv ## render requirements/*.lock from pyproject.toml
	$(BIN)/$(COMPILE) pyproject.toml -o requirements/runtime.lock
	$(BIN)/$(COMPILE) pyproject.toml --group dev -c requirements/runtime.lock -o requirements/dev.lock

crds: venv ## render crds/ (and the chart's copy, since Helm reads no file outside a chart)
	$(BIN)/python -m lockstep.api.crds crds charts/lockstep/files/crds

check: venv ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy operator/lockstep tests deploy/local
	$(BIN)/lint-imports

unit: venv ## the tests that need neither a database nor a cluster
	$(BIN)/pytest tests/unit

# cluster, cluster-down and image are in deploy/$(CLUSTER)/cluster.mk.
ifeq ($(filter $(CLUSTER),local kind existing),)
$(error CLUSTER is local, kind or existing, not "$(CLUSTER)")
endif
include deploy/$(CLUSTER)/cluster.mk
