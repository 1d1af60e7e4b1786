# Everything a contributor types. Each target sets up what it needs, and says what is being waited for.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint cluster-up cluster-down bench lock crds docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@echo "Setting up the Python environment in $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Boot a cluster and show a wrong, a broken, a slow and a good model live
	@$(BIN)/python -m examples.demo.show

test: $(READY) ## Run all tests: pure, control plane, cluster (boots the cluster)
	@$(BIN)/python -m tests.levels

lint: $(READY) ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

cluster-up: $(READY) ## Boot a real cluster; .cluster/enter runs commands in it
	@$(BIN)/python -m tests.cluster up

cluster-down: $(READY) ## End the cluster without a trace
	@$(BIN)/python -m tests.cluster down

bench: $(READY) ## Measure what the documentation states
	@$(BIN)/python -m tests.bench

crds: $(READY) ## Write the generated definitions and documentation again
	@$(BIN)/python -m docs.generate

lock: $(READY) ## Resolve the dependencies anew
	@$(BIN)/pip install --quiet pip-tools
	@$(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --strip-extras --no-header --extra dev -o requirements.lock pyproject.toml
	@$(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --strip-extras --no-header -o requirements-runtime.lock pyproject.toml
	@for server in kserve mlserver mlflow bentoml; do \
	  $(BIN)/pip-compile --quiet --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --no-emit-trusted-host --strip-extras --no-header --no-annotate \
	    -o tests/verify/servers/requirements/$$server.txt tests/verify/servers/requirements/$$server.in || exit 1; \
	done

clean: ## Remove what was built here: environment, cluster, caches of tools
	@test ! -x $(BIN)/python || $(BIN)/python -m tests.cluster down
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
