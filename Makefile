# Everything that a contributor or a newcomer runs. `make help` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := .venv/bin
# Touched when .venv holds what the demo needs, and when it holds everything.
DEMO_READY := .venv/.ready-demo
DEV_READY := .venv/.ready-dev
DEMO := demo/digits

# The first Python that is 3.11 or newer and can make a virtual environment.
PYTHON = $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$python"; break; }; done)

# uv does not read pip's settings: those that say where packages come from are handed on.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
PINS := --constraints constraints.txt --build-constraints constraints.txt
# Compiled while it is installed where Python may not write what it compiles: there each process of each job would do it
# anew, and take twice as long. Elsewhere the first import does it, of what is imported.
COMPILED := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
INSTALL := $(BIN)/uv pip install --quiet $(COMPILED) --python $(BIN)/python $(PINS)
# The same for what is installed in place.
COMPILE := $(BIN)/python -m compileall -q client storage workers scheduler

# Whole jobs wait more than they work: one test more than there are cores runs at a time.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Faults on a cluster of real processes; the short form has smaller jobs.
CHAOS := PYTHONPATH=tests $(BIN)/python -m chaos
SHORT := --items 6000 --seconds 8 --minutes 1 --longest 10
# The oldest Celery that is supported, and what came with it.
OLD_CELERY := .venv-celery56

# Azure's own client judges which YAML files are taken. It cannot be installed beside what .venv holds.
JUDGE := .venv-azure
JUDGE_VERSION := 1.35.2

# What checks the files of deploy/ brings programs with it that nothing else needs.
LINTERS := .venv-deploy

.PHONY: help setup demo test coverage test-long bench bench-large bench-peers chaos chaos-short chaos-old-celery simulate judge azurite dashboards-test prometheus lint lint-deploy lock-images wheels compose-test image-torch-test format wheel pin clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV_READY) ## Make .venv with everything that builds and tests Gristmill

demo: $(DEMO_READY) $(DEMO)/.trained ## Train a small network on handwritten digits and score a folder of images with it
	@$(BIN)/gristmill run examples/digits/deployment.yml --input $(DEMO)/images --output $(DEMO)/output --overwrite
	@$(BIN)/python examples/digits/show.py --folder $(DEMO)

test: $(DEV_READY) ## Run every test (ARGS="-k name" to choose)
	@$(COMPILE)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

# The tracer makes what runs in the tests' own process half as slow again.
coverage: $(DEV_READY) ## Run every test, and list the lines that none of them reaches
	@$(COMPILE)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing:skip-covered $(ARGS)

test-long: export LONG_TESTS := 1
test-long: $(DEV_READY) ## Run every test, those that take long as well
	@$(COMPILE)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

# On a machine that does nothing else: CASES="W0 W3" some cases, RUNS=n so many runs of each side.
bench: $(DEV_READY) ## Measure Gristmill beside a pool of processes: time, memory, start (CASES=, RUNS=)
	@$(COMPILE)
	$(BIN)/python -m benchmarks $(if $(CASES),compare $(CASES),all) --runs $(or $(RUNS),5) --json bench.json

bench-large: $(DEV_READY) ## Measure what takes gigabytes: plan, merge, csv, parquet (PARTS=, GIGABYTES=)
	@$(COMPILE)
	$(BIN)/python -m benchmarks large $(PARTS) $(if $(GIGABYTES),--gigabytes $(GIGABYTES)) --json bench-large.json

bench-peers: $(DEV_READY) ## Measure Celery by hand, Dask, Ray and Spark, in environments of their own (SYSTEMS=, RUNS=)
	$(BIN)/python -m benchmarks peers $(SYSTEMS) --runs $(or $(RUNS),3) --json bench-peers.json

chaos: $(DEV_READY) ## Let random faults fall on a cluster while jobs run (CHAOS_JOBS=n, CHAOS_MINUTES=n, SEED=word)
	$(CHAOS) --jobs $(or $(CHAOS_JOBS),10) --minutes $(or $(CHAOS_MINUTES),0) --seed "$(SEED)" -o chaos.json

chaos-short: $(DEV_READY) ## Each kind of fault by itself, then random ones for about two minutes
	@$(COMPILE)
	$(BIN)/pytest -n 2 tests/chaos
	$(CHAOS) $(SHORT) --seed "$(SEED)" -o chaos.json

chaos-old-celery: $(OLD_CELERY)/.ready ## The short form on Celery 5.6.3
	PYTHONPATH=tests $(OLD_CELERY)/bin/python -m chaos $(SHORT) --seed "$(SEED)" -o chaos-old-celery.json

# SEEDS=100 so many; SEED=7 that one alone, TRACE=1 with every event; PROFILE=storm under these faults; BUG=name planted;
# REAL=<address of a server to be emptied> with the scripts themselves.
simulate: $(DEV_READY) ## Live 10,000 simulated jobs whose machines fail (SEEDS=, SEED=, PROFILE=, TRACE=1)
	@PYTHONPATH=tests/simulation $(BIN)/python -m simulator $(if $(SEEDS),--seeds $(SEEDS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(PROFILE),--profile $(PROFILE)) $(if $(BUG),--bug $(BUG)) $(if $(REAL),--real $(REAL)) $(if $(TRACE),--trace)

judge: $(JUDGE)/.ready-$(JUDGE_VERSION) ## Ask Azure's client about every file of tests/judge (ARGS=--write to write its answers down)
	PYTHONHASHSEED=0 PYTHONPATH=tests $(JUDGE)/bin/python -m judge $(ARGS)

azurite: $(DEV_READY) ## Find Azurite, for tests of Azure's storage, or get it from npm into .azurite
	@$(BIN)/python scripts/azurite.py

dashboards-test: $(DEV_READY) prometheus ## Ask every panel's queries of a real Prometheus that scrapes a real job
	$(BIN)/pytest -s tests/dashboards $(ARGS)

prometheus: $(DEV_READY) ## Find Prometheus, or unpack Debian's into .prometheus
	@$(BIN)/python scripts/prometheus.py

lint: $(DEV_READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-deploy: $(LINTERS)/.ready ## Check the image's file, compose.yaml, the Kubernetes files, dashboards and locks
	@$(LINTERS)/bin/python scripts/check_deploy.py

lock-images: $(DEV_READY) ## Write the locks of the images, deploy/requirements/*.txt
	$(BIN)/python scripts/lock_images.py

wheels: $(DEV_READY) ## Fetch what the image needs into deploy/wheels, for builds without a package index
	$(BIN)/python scripts/lock_images.py --wheels $(ARGS)

compose-test: $(DEV_READY) ## Build the image, and let a cluster of containers fail while a job runs on it
	$(BIN)/python scripts/compose_test.py

image-torch-test: $(DEV_READY) ## Build the image with torch, and try torch in it
	$(BIN)/python scripts/torch_image_test.py

format: $(DEV_READY) ## Rewrite the sources in the house style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: $(DEV_READY) ## Build the wheel into dist/, install it alone, and run a job with it
	rm -rf dist
	$(BIN)/python -m hatchling build --target wheel
	$(BIN)/python scripts/check_wheel.py

pin: $(DEV_READY) ## Write constraints.txt from what .venv holds now
	$(BIN)/python scripts/pin.py

clean: ## Remove what the other targets made, except .venv
	rm -rf build dist demo .azurite .prometheus bench.json bench-large.json bench-peers.json chaos.json chaos-old-celery.json $(OLD_CELERY) $(JUDGE) $(LINTERS) .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

$(BIN)/uv:
	@[[ -n "$(PYTHON)" ]] || { echo "no Python 3.11 or newer with venv and ensurepip on PATH: install one" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv

$(DEMO_READY): pyproject.toml constraints.txt | $(BIN)/uv
	$(INSTALL) --editable '.[demo]'
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/uv
	$(INSTALL) --editable '.[dev]'
	@touch $(DEMO_READY) $@

$(DEMO)/.trained: examples/digits/train.py examples/digits/code/digit_classifier.py | $(DEMO_READY)
	@$(BIN)/python examples/digits/train.py --folder $(DEMO)
	@touch $@

$(OLD_CELERY)/.ready: pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(OLD_CELERY)
	grep -vE '^(amqp|billiard|celery|kombu|redis|vine)==' constraints.txt > $(OLD_CELERY)/constraints.txt
	$(BIN)/uv pip install --quiet $(COMPILED) --python $(OLD_CELERY)/bin/python --constraints $(OLD_CELERY)/constraints.txt \
		--build-constraints constraints.txt --editable '.[local,s3]' 'moto[server]' celery==5.6.3 kombu==5.6.2
	@touch $@

$(LINTERS)/.ready: deploy/requirements/lint.txt deploy/requirements/compose-1.29.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(LINTERS)
	$(BIN)/uv pip sync --quiet --python $(LINTERS)/bin/python --require-hashes deploy/requirements/lint.txt
	$(BIN)/uv pip install --quiet --python $(LINTERS)/bin/python --require-hashes --no-deps \
		--target $(LINTERS)/compose-1.29 -r deploy/requirements/compose-1.29.txt
	@touch $@

$(JUDGE)/.ready-$(JUDGE_VERSION): | $(BIN)/uv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(JUDGE)
	$(BIN)/uv pip install --quiet --python $(JUDGE)/bin/python azure-ai-ml==$(JUDGE_VERSION) marshmallow==3.26.2
	@touch $@
