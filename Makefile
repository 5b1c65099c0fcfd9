# chatd: everything below needs only make and CPython 3.11 to 3.14; the rest is built into .venv, once.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input --quiet

ARGS ?=
WORKERS ?= 2
TESTS ?= tests
URL ?= http://127.0.0.1:8080
USERS ?= 200
RATE ?= 20
DURATION ?= 60s
MINUTES ?= 10
BENCHES ?= core

.PHONY: help run test check load bench chaos lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' Makefile

run: .venv/.runs ## start chatd, with its own PostgreSQL and Redis if none are configured (ARGS="--port 9000")
	@exec $(PY) -m chatd serve $(ARGS)

test: .venv/.develops ## run the tests (TESTS="tests/wire -k utf8", WORKERS=4)
	@exec $(PY) -m pytest -n $(WORKERS) $(TESTS)

check: .venv/.develops ## lint, formatting, types, import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	PYTHONPATH=. $(PY) -c 'from importlinter.cli import lint_imports_command as c; c()'

load: .venv/.develops ## load a running chatd (URL, USERS, RATE a second, DURATION)
	$(PY) -m locust -f loadtest/locustfile.py --headless --only-summary \
	    --host $(URL) -u $(USERS) -r $(RATE) -t $(DURATION) $(ARGS)

bench: .venv/.develops ## measure chatd on this machine, 12 minutes (BENCHES="gp search" for others)
	$(PY) -m loadtest.bench $(BENCHES) $(ARGS)

chaos: .venv/.develops ## break things under load and check that nothing is lost (MINUTES), seed 1 and a random one
	$(PY) -m loadtest.chaos --minutes $(MINUTES) --seed 1 $(ARGS)
	$(PY) -m loadtest.chaos --minutes $(MINUTES) --seed $$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') $(ARGS)

lock: .venv/bin/python ## resolve pyproject.toml into the two lock files again (ARGS=--upgrade)
	@$(PIP) install 'uv>=0.9'
	.venv/bin/uv pip compile $(LOCKING) --group build -o requirements.lock $(ARGS)
	.venv/bin/uv pip compile $(LOCKING) --group build --group dev -c requirements.lock -o requirements-dev.lock $(ARGS)

LOCKING := pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --custom-compile-command 'make lock'

clean: ## remove .venv and what tools left behind; the data in .chatd stays
	rm -rf .venv .venv.lock .venv.old .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
	find chatd tests loadtest -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- .venv: a Python, then what chatd runs on, then what develops it (.ci/venv.sh) ---------------------
# Two locks, because a first `make run` needs a third of the packages. Each step leaves a stamp, so
# that the next run costs make a few stat calls.
export PYTHON

.venv/bin/python:
	@sh .ci/venv.sh python

.venv/.runs: requirements.lock pyproject.toml
	@sh .ci/venv.sh runs

.venv/.develops: requirements-dev.lock .venv/.runs
	@sh .ci/venv.sh develops
