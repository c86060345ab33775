# `make help` lists the targets. Everything runs in .venv, which each target brings up to date by itself.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTS ?=
# Tests start some hundred processes of ours: what they import is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test faults soak lint docs dashboards bench kafka lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## .venv with the locked dependencies and the command eval-alignment

PIP := $(BIN)/python -m pip install --disable-pip-version-check

# uv installs in a quarter of the time. Where it cannot (an index or a certificate that only pip is configured for), pip does.
$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the locked dependencies in $(VENV), which takes about half a minute the first time"
	@awk '/^[a-z]/ { uv = /^uv==/ } uv' requirements-dev.txt > $(VENV)/uv.txt
	@$(PIP) --quiet --require-hashes -r $(VENV)/uv.txt && \
	  $(BIN)/uv pip install --python $(BIN)/python --require-hashes -r requirements-dev.txt || \
	  { echo "uv could not install them. Installing with pip, which takes about two minutes"; \
	    $(PIP) --progress-bar on --require-hashes -r requirements-dev.txt; }
	@echo "Installing the command eval-alignment"
	@$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: venv ## everything on this machine with a lively sample stream; Ctrl-C ends it
	$(BIN)/eval-alignment demo

test: venv ## all tests, with a real Apache Kafka where java and mvn are found; TESTS=path chooses
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

faults: venv ## every fault of docs/reliability.md on a real Apache Kafka, and the table of this run
	$(BIN)/python -m pytest tests -m row --timeout 600 --reliability docs/reliability.md

lint: venv ## ruff, mypy and the words
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.prose

SEEDS ?= 20000
MINUTES ?= 120

soak: venv ## new simulated histories, then mixed faults on a real Apache Kafka; SEEDS=20000 MINUTES=120 SEED=
	$(BIN)/python -m tests.simulation --soak $(SEEDS)
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --write docs/reliability.md

docs: venv ## the reference pages of docs/ that are made from code
	$(BIN)/python -m tools.reference docs

dashboards: venv ## the JSON for Grafana, made from monitoring/grafana; PAGE=address of the page in links
	$(BIN)/python -m monitoring.grafana $(if $(PAGE),--page $(PAGE))

BENCH := .venv-bench
SECONDS ?= 30
ROUNDS ?= 3

bench: venv $(BENCH)/.installed ## the worker, and side by side its peers, an hour; SECONDS=5 ROUNDS=1 for a look
	$(BIN)/python -m bench.comparison --seconds $(SECONDS) --rounds $(ROUNDS) --write docs/performance.md
	$(BIN)/python -m bench

$(BENCH)/.installed: requirements-bench.txt
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

kafka: venv ## a real Apache Kafka on 127.0.0.1:9092 until Ctrl-C
	$(BIN)/python -m tests.support.kafka --port 9092

UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-config --custom-compile-command "make lock" $(UPGRADE)

lock: ## requirements*.txt from pyproject.toml; UPGRADE=--upgrade takes newer versions
	@test -x $(BIN)/uv || { test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); $(BIN)/python -m pip install --quiet uv; }
	$(UV) pyproject.toml --all-extras --output-file requirements.txt
	$(UV) pyproject.toml --all-extras --group dev --constraints requirements.txt --output-file requirements-dev.txt
	$(UV) --group build --constraints requirements-dev.txt --output-file requirements-build.txt
	$(UV) --group bench --output-file requirements-bench.txt
