# The handles of the project; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CLUSTER ?= local
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export CLUSTER
# Bytecode is kept, and not in the tree, also where the environment wants none written: four workers and the processes of
# hundreds of tests would compile the same code over and over.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX ?= $(or $(LOCKSTEP_LOCAL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lockstep)/bytecode

.PHONY: help venv lock crds check test test-all unit chaos fuzz demo cluster cluster-down image install bench bench-peers clean

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

install: venv ## helm upgrade --install --wait of charts/lockstep; HELM_ARGS adds to it
	@test -s .local/kubeconfig -a -s .local/image-tag || { echo "error: first make cluster, then make image"; exit 1; }
	@.local/bin/helm upgrade --install --wait --timeout 3m --take-ownership --force-conflicts lockstep charts/lockstep --kubeconfig .local/kubeconfig \
		--namespace lockstep-system --create-namespace \
		--set-string image.repository=$(or $(IMAGE_REPOSITORY),lockstep) --set-string image.tag=$$(cat .local/image-tag) \
		--set image.pullPolicy=IfNotPresent $(HELM_ARGS)

demo: cluster image install ## a database goes to version 0001, then to 0002, on a cluster of its own
	@KUBECONFIG=$(CURDIR)/.local/kubeconfig PYTHONPATH=deploy/local $(BIN)/python -m demo

# The tests want short pauses between attempts; what they check is that there are attempts.
# Operators that tests start as processes of their own serve the namespaces ctl-*.
TEST_HELM_ARGS := --set watch.exclude={ctl-*} --set controller.backoffSeconds=1 --set controller.backoffMaxSeconds=5 \
	--set 'controller.extraEnv[0].name=LOCKSTEP_DRIFT_FLOOR_SECONDS' --set-string 'controller.extraEnv[0].value=1'
PYTEST_ARGS ?=
test: venv ## every test, on a fresh machine too: packages, cluster, image, operator, then pytest
	@PYTHONPATH=deploy/local $(BIN)/python -m localcluster test-packages
	@$(MAKE) --no-print-directory cluster
	@$(MAKE) --no-print-directory image
	@$(MAKE) --no-print-directory install HELM_ARGS="$(HELM_ARGS) $(TEST_HELM_ARGS)"
	$(BIN)/pytest -n 4 --dist worksteal $(PYTEST_ARGS)

test-all: venv ## make test, with the suites of each engine on every version of its servers, and with other tools
	@PYTHONPATH=tests $(BIN)/python -m bench.getting
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--every-version $(PYTEST_ARGS)"

# On each engine; CHAOS=n for another number of kills, CHAOS_SEED=n for other ones.
CHAOS ?= 2000
chaos: venv ## thousands of kills at random on each engine, each followed by a look at what is left (CHAOS=2000)
	CHAOS=$(CHAOS) $(BIN)/pytest -n 2 -rP --every-version tests/engines/kills

# Every failure is kept in .hypothesis, and tried first the next time.
FUZZ ?= 20
fuzz: venv ## the property tests with new examples, FUZZ times as many as make test tries (FUZZ=20)
	FUZZ=$(FUZZ) $(BIN)/pytest -n 2 --timeout 0 $$(grep -rlE '^( *)@given' tests)

bench: cluster image install ## ratios against a bare loop and a bare Job, in one run
	@$(BIN)/python tests/bench/bench_runner.py
	@KUBECONFIG=$(CURDIR)/.local/kubeconfig $(BIN)/python tests/bench/bench_cluster.py

BENCH_ARGS ?=
bench-peers: venv image ## the runner against other tools, which are fetched first (BENCH_ARGS="--counts 100 --tools goose")
	@$(BIN)/python tests/bench/bench_peers.py --install $(BENCH_ARGS)
