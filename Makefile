# `make help` lists the targets. Everything runs in .venv, which each target brings up to date.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TESTS ?=
# Processes that run tests; each has brokers and browsers of its own.
JOBS := 2
# Tests start some hundred processes. Bytecode files let each of them start without compiling what it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo page unit test coverage examples tools containers kubernetes sbom faults fuzz soak lint docs dashboards rules wheel peers bench kafka lock

help: ## print this list
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

demo: venv ## run everything on this machine with sample events; Ctrl-C ends it
	$(BIN)/eval-alignment demo

page: venv ## serve the page on a sample store; templates are reloaded when they change
	$(BIN)/python -m tools.page

# Examples in docstrings are tests too. Hypothesis tries fewer examples than in `make test`.
UNIT := $(wildcard tests/unit tests/laws tests/architecture tests/fixtures) aggregator streams ingest sinks sources eval_alignment

unit: venv ## run the tests that need no broker, in less than a minute
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --hypothesis-profile=quick $(UNIT)

# In the order of the directories: what a package shares starts once per process, and the many short files come last.
test: venv ## run all tests except slow ones, with a real Apache Kafka where java and mvn are found; TESTS=path selects
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

# Tracing doubles the CPU time of Python code before 3.14, so `make test` and `make unit` do without it.
coverage: venv ## run unit tests, and fail if they cover less than pyproject.toml requires
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --hypothesis-profile=quick --cov --cov-report=term $(UNIT)

EXAMPLES ?=

examples: venv ## run the programs of examples/ against a real Apache Kafka, and record that all events counted; EXAMPLES="go java"
	$(BIN)/python -m tools.producers $(EXAMPLES)
	$(BIN)/python -m tools.reference docs

TOOLS ?=
REAL := $(shell sed -n "s/^tool-\([a-z-]*\) = .*/\1/p" pyproject.toml)
INSTALLED := $(REAL) collector promptfoo

tools: venv $(patsubst %,.venv-tools/%/.installed,$(filter $(INSTALLED),$(or $(TOOLS),$(INSTALLED)))) ## connect sources to real tools, and record that all counts are equal; TOOLS="mlflow phoenix"
	$(BIN)/python -m tools.real $(TOOLS)
	$(BIN)/python -m tools.reference docs

.venv-tools/%/.installed: tools/real/requirements-%.txt | venv
	@echo "Installing $* in $(@D)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

.venv-tools/collector/.installed: $(addprefix tools/real/programs/collector/,main.go go.mod go.sum)
	@echo "Building the OpenTelemetry Collector in $(@D), which takes some minutes the first time"
	@cd $(<D) && go build -o $(abspath $(@D))/bin/collector .
	@touch $@

.venv-tools/promptfoo/.installed: $(addprefix tools/real/programs/promptfoo/,package.json package-lock.json)
	@echo "Installing promptfoo in $(@D), which takes some minutes"
	@mkdir -p $(@D) && cp $^ $(@D) && cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@ln -sfn node_modules/.bin $(@D)/bin
	@touch $@

ENGINE ?=

containers: venv ## run docker-compose.yml on Docker Engines of two Debian releases, as root, and record it; ENGINE="trixie bookworm arm64"
	$(BIN)/python -m tools.containers $(ENGINE)

kubernetes: venv .venv-tools/kubernetes/.installed ## render the Kubernetes manifests, check every object, and record that all are valid
	$(BIN)/python -m tools.kubernetes

.venv-tools/kubernetes/.installed: tools/kubernetes/requirements.txt tools/kubernetes/programs.txt | venv
	@echo "Installing kustomize, kube-score and kubernetes-validate in $(@D), which takes some minutes the first time"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@for program in $$(cat tools/kubernetes/programs.txt); do GOBIN=$(abspath $(@D))/bin go install $$program || exit 1; done
	@touch $@

sbom: venv .venv-tools/sbom/.installed ## write dist/sbom.cdx.json, a bill of materials of the packages in the image
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-tools/image
	@$(BIN)/uv pip install --quiet --python .venv-tools/image/bin/python --require-hashes -r requirements.txt
	$(BIN)/python -m tools.sbom

.venv-tools/sbom/.installed: tools/sbom/requirements.txt | venv
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes -r $<
	@touch $@

faults: venv ## inject every fault of docs/reliability.md into a real Apache Kafka, and write the table of this run
	$(BIN)/python -m pytest tests -m row --timeout 600 --reliability docs/reliability.md

FUZZ_SECONDS ?= 600

fuzz: venv ## run each fuzzer for ten minutes; FUZZ_SECONDS=20 for less
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

lint: venv ## check code (ruff, mypy), words (codespell, tools/prose.py), Dockerfile (hadolint) and docker-compose.yml
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell .
	$(BIN)/python -m tools.prose
	$(BIN)/hadolint Dockerfile
	$(BIN)/docker-compose config --quiet

SEEDS ?= 20000
MINUTES ?= 120

soak: venv ## simulate new histories, then mix faults on a real Apache Kafka; SEEDS=20000 MINUTES=120 SEED=
	$(BIN)/python -m tests.simulation --soak $(SEEDS)
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) --write docs/reliability.md

docs: venv ## generate the reference pages of docs/ from code
	$(BIN)/python -m tools.reference docs

dashboards: venv ## generate the JSON for Grafana from monitoring/grafana; PAGE=https://... is the page that links open
	$(BIN)/python -m monitoring.grafana $(if $(PAGE),--page $(PAGE))

rules: venv ## make Kubernetes objects of the rules; RUNBOOK=https://... first writes the address of your runbook into them
	$(if $(RUNBOOK),$(BIN)/python -m monitoring.runbook $(RUNBOOK))
	$(BIN)/python -m monitoring.prometheus_rules

wheel: venv ## build the wheel in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel -d dist

BENCH := .venv-bench
SECONDS ?= 30
ROUNDS ?= 3

peers: $(BENCH)/.installed ## .venv-bench with the other libraries that `make bench` compares

bench: venv peers ## compare workers with other libraries, three hours; SECONDS=5 ROUNDS=1 for a short run
	$(BIN)/python -m bench.comparison --seconds $(SECONDS) --rounds $(ROUNDS) --write docs/performance.md
	$(BIN)/python -m bench

$(BENCH)/.installed: requirements-bench.txt
	@test -x $(BENCH)/bin/python || { echo "Creating $(BENCH)"; $(PYTHON) -m venv $(BENCH); }
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

kafka: venv ## run a real Apache Kafka on 127.0.0.1:9092 until Ctrl-C
	$(BIN)/python -m tests.support.kafka --port 9092

UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-config --custom-compile-command "make lock" $(UPGRADE)

lock: ## resolve pyproject.toml into requirements*.txt; UPGRADE=--upgrade takes newer versions
	@test -x $(BIN)/uv || { test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); $(BIN)/python -m pip install --quiet uv; }
	$(UV) pyproject.toml --output-file requirements.txt
	$(UV) pyproject.toml --all-extras --group dev --constraints requirements.txt --output-file requirements-dev.txt
	$(UV) --group build --constraints requirements-dev.txt --output-file requirements-build.txt
	$(UV) --group bench --output-file requirements-bench.txt
	$(UV) --group kubernetes --output-file tools/kubernetes/requirements.txt
	$(UV) --group sbom --output-file tools/sbom/requirements.txt
	for tool in $(REAL); do $(UV) --group tool-$$tool --output-file tools/real/requirements-$$tool.txt || exit 1; done
