# medunet: `make` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN ?= $(VENV)/bin
WORKSPACE ?= .
WORKERS ?= 2
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check gates format lint types layers spelling fix mlflow clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

setup: $(READY) ## make .venv with medunet and its tools (again: nothing to do)

# A torch of 2.11 or newer that `python3` already has, such as a vendor's GPU build, is kept: .venv then looks
# into the machine's packages, and that very version is pinned. Otherwise torch comes as constraints.txt says.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "medunet needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo missing)." >&2; \
	  echo "Install one and name it: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module. On Debian or Ubuntu: apt install python3-venv." >&2; exit 1; }
	@have_torch() { "$$1" -c 'import sys; from importlib.metadata import version; found = version("torch"); \
	  print(found); sys.exit([int(n) for n in found.split(".")[:2]] < [2, 11])' 2>/dev/null; }; \
	if ! $(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  rm -rf $(VENV); \
	  if have_torch $(PYTHON) >/dev/null; then $(PYTHON) -m venv --system-site-packages $(VENV); fi; \
	  have_torch $(VENV)/bin/python >/dev/null || $(PYTHON) -m venv --clear $(VENV); \
	fi; \
	grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt; \
	if torch=$$(have_torch $(VENV)/bin/python); then \
	  echo "Keeping torch $$torch."; echo "torch==$$torch" >> $(VENV)/constraints.txt; \
	else grep '^torch==' constraints.txt >> $(VENV)/constraints.txt; fi
	@echo "Installing medunet into $(VENV): one to three minutes ..."
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --constraint $(VENV)/constraints.txt --editable '.[dev]'
	@touch $@
	@echo "Ready. Try: $(VENV)/bin/medunet --help"

demo: setup ## train, score and predict on sample data, into demo/ (10 minutes on 2 cores)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
	  --constraint constraints.txt stardist || echo "The package stardist is not to be had: no 2D part." >&2
	@$(BIN)/medunet demo

test: setup gates ## set-up, all gates and the whole test suite
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-slow: setup ## the slow tests, and those with Ray, Orthanc and PostgreSQL (installed first, as root by apt)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/constraints.txt \
	  --editable '.[dev,ray]'
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 orthanc orthanc-dicomweb postgresql >/dev/null \
	  || echo "Servers could not be installed: their tests are skipped." >&2; fi
	@$(BIN)/pytest -m "slow or orthanc"
	@$(BIN)/pytest tests/studies/test_ledger.py

check: setup gates ## format, lint, types, layers and spelling: no tests

gates: format lint types layers spelling

format:
	@$(BIN)/ruff format --check --quiet . || { echo "format: run 'make fix'" >&2; exit 1; }

lint:
	@$(BIN)/ruff check --quiet .

types:
	@$(BIN)/mypy --no-error-summary

layers:
	@report=$$($(BIN)/lint-imports) || { echo "$$report"; exit 1; }

spelling:
	@$(BIN)/codespell .

fix: setup ## format, and correct what the linter can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

mlflow: setup ## the MLflow pages of the runs in WORKSPACE, on http://127.0.0.1:5000
	@cd $(WORKSPACE) && mkdir -p mlflow && MLFLOW_DISABLE_TELEMETRY=true \
	  $(abspath $(BIN))/mlflow server --host 127.0.0.1 --port 5000 \
	  --backend-store-uri sqlite:///mlflow/mlflow.db --default-artifact-root mlflow/artifacts

clean: ## remove .venv, builds and caches of the tools; runs, cache and tracking data stay
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find medunet tests -name __pycache__ -type d -prune -exec rm -rf {} +
