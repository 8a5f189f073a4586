# `make` lists what there is. Everything happens in ./.venv, made on first use and brought up to
# date when pyproject.toml changes; needed beforehand: python3 (3.11 or newer, with venv and pip),
# a C compiler, and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH_VENV := .venv-bench
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

# What is compiled at install: a change in it installs anew.
CORE := setup.py $(wildcard $(addprefix src/penstock/,_core/*/*.c queues/_core/*.h queues/_core/*/*.[ch]))

SEEDS ?= 200
EXAMPLES ?= 5000
SECONDS ?= 60
INPUTS ?= 5000
HOURS ?= 1
PYTEST ?=
JOBS ?= 3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # one environment, and tests that measure

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  PYTEST="-x -k lease" goes to pytest; SEEDS=$(SEEDS), EXAMPLES=$(EXAMPLES), SECONDS=$(SECONDS), JOBS=$(JOBS) are the defaults.'

# --- for users --------------------------------------------------------------------------------

.PHONY: demo
demo: $(VENV)/.core ## run the tutorial job on the embedded queue, kill a worker, count what happened
	@$(BIN)/penstock demo

# --- the whole --------------------------------------------------------------------------------

# Files side by side: most of their time they wait for servers and processes. The queues' own tests
# look at what their process holds, so nothing else runs in it.
.PHONY: test
test: static $(VENV)/.test $(VENV)/.servers ## everything that must pass: static checks, then all tests (what CI runs)
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --ignore tests/queues --ignore tests/core $(PYTEST)
	@$(BIN)/pytest -n $(JOBS) --dist loadfile tests/queues tests/core $(PYTEST)

.PHONY: check
check: static unit ## the quick half: format, lint, types, architecture, unit tests

# --- static -----------------------------------------------------------------------------------

.PHONY: fmt
fmt: $(VENV)/.dev ## rewrite the code as ruff formats it, with what it can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: lint
lint: $(VENV)/.dev ## format and lint, as it stands
	@$(BIN)/ruff format --check --quiet --diff .
	@$(BIN)/ruff check --quiet .

.PHONY: types
types: $(VENV)/.dev ## mypy, strict, over src
	@$(BIN)/mypy --no-error-summary

.PHONY: layers
layers: $(VENV)/.dev ## imports go from higher layers to lower ones only
	@$(BIN)/lint-imports --no-logo > $(VENV)/layers.log || { cat $(VENV)/layers.log; exit 1; }

.PHONY: static
static: lint types layers

# --- tests, part by part ----------------------------------------------------------------------

.PHONY: unit
unit: $(VENV)/.test ## unit tests: no I/O, no sleep
	@$(BIN)/pytest tests/unit $(PYTEST)

.PHONY: conformance
conformance: $(VENV)/.test $(VENV)/.servers ## the published suite, on every broker and result store
	@$(BIN)/pytest tests/conformance $(PYTEST)

.PHONY: interop
interop: $(VENV)/.test $(VENV)/.servers ## every pairing with real Celery processes, on one Redis
	@INTEROP=full $(BIN)/pytest tests/interop tests/redis/test_redis_clients.py $(PYTEST)

.PHONY: simulate
simulate: $(VENV)/.test ## many workers from one seed, crashed at any step: make simulate SEEDS=1000
	@$(BIN)/python -m penstock.testing.simulation --seeds $(SEEDS) --broker memory
	@$(BIN)/python -m penstock.testing.simulation --seeds $(SEEDS) --broker sqlite
	@$(BIN)/python tests/simulation/on_servers.py redis --seeds $(SEEDS)

.PHONY: faults
faults: $(VENV)/.test $(VENV)/.servers ## every crash point, queues under 1,000 SIGKILLs, a storm over each broker
	@CRASH_POINTS=all FAULTS=full $(BIN)/pytest -n $(JOBS) --dist load tests/faults tests/safety \
		tests/redis/test_redis_cuts.py tests/redis/test_redis_trouble.py tests/stores \
		tests/rabbitmq/test_rabbit_trouble.py tests/worker/test_on_each_broker.py tests/docs/test_accounts.py $(PYTEST)
	@$(BIN)/python tests/fuzz/fuzz.py --inputs $(INPUTS)
	@$(BIN)/python tests/support/queue_storm.py --kills 1000
	@$(BIN)/python tests/support/storms.py

.PHONY: faults-long
faults-long: $(VENV)/.test $(VENV)/.servers ## storms over one broker after the other: make faults-long HOURS=8
	@$(BIN)/python tests/support/storms.py --hours $(HOURS)

.PHONY: mutants
mutants: $(VENV)/.test $(VENV)/.servers ## plant real failures in a copy of penstock: the storm must find each
	@$(BIN)/python tests/support/mutants.py

# Hypothesis marks each of its tests; here they get more examples and no time limit.
.PHONY: fuzz
fuzz: $(VENV)/.test ## mutated inputs for every parser, then the property tests, long
	@$(BIN)/python tests/fuzz/fuzz.py --seconds $(SECONDS)
	@$(BIN)/python tests/fuzz/properties.py $(EXAMPLES) $(PYTEST)

.PHONY: docs
docs: $(VENV)/.test ## run the documentation's code and follow its links
	@$(BIN)/pytest tests/docs $(PYTEST)

.PHONY: bench
bench: $(BENCH_VENV)/.ready ## measure, rival libraries beside ours: make bench ONLY=tasks
	@for script in $(if $(ONLY),benchmarks/$(ONLY).py,$(filter-out benchmarks/figures.py,$(wildcard benchmarks/[a-z]*.py)) benchmarks/queues/[a-z]*.py); do \
		echo "== $$script"; $(BENCH_VENV)/bin/python $$script || exit; \
	done

.PHONY: figures
figures: $(BENCH_VENV)/.ready ## measure what the documentation shows, and draw it: make figures ONLY=redis-idle
	@$(BENCH_VENV)/bin/python benchmarks/figures.py $(if $(ONLY),--only $(ONLY))

.PHONY: bench-check
bench-check: $(BENCH_VENV)/.ready ## fail where throughput fell by 15 %, as a ratio to the raw limit
	@$(BENCH_VENV)/bin/python benchmarks/_check.py

# --- change notes and rubbish -----------------------------------------------------------------

.PHONY: changelog
changelog: $(VENV)/.dev ## show the change notes of the next release
	@$(BIN)/towncrier build --draft --version next

.PHONY: clean
clean: ## remove the environments, caches and builds
	rm -rf $(VENV) $(BENCH_VENV) build dist src/*.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: a stamp says which parts of pyproject.toml are installed -----------------------

$(BIN)/python:
	@echo "making $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml $(CORE) | $(BIN)/python
	@echo "installing penstock" >&2
	@$(BIN)/python $(PIP_INSTALL) --editable .
	@touch $@

# What needs more has the core as well, so its stamp is set too and nothing is installed twice.
$(VENV)/.test: pyproject.toml $(CORE) | $(BIN)/python
	@echo "installing penstock with what the tests need" >&2
	@$(BIN)/python $(PIP_INSTALL) --editable '.[test]'
	@touch $(VENV)/.core $@

# The servers that tests start; where they cannot be installed, it says so and tests are skipped.
$(VENV)/.servers: tests/support/system_packages.sh | $(BIN)/python
	@sh tests/support/system_packages.sh
	@touch $@

$(VENV)/.dev: pyproject.toml $(CORE) | $(BIN)/python
	@echo "installing penstock with what the checks need" >&2
	@$(BIN)/python $(PIP_INSTALL) --editable '.[test,dev]'
	@touch $(VENV)/.core $(VENV)/.test $@

$(BENCH_VENV)/.ready: pyproject.toml $(CORE) $(wildcard benchmarks/requirements.txt)
	@echo "making $(BENCH_VENV), with the libraries that are measured beside ours" >&2
	@$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python $(PIP_INSTALL) --editable . $(if $(wildcard benchmarks/requirements.txt),-r benchmarks/requirements.txt)
	@touch $@
