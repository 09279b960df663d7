# `make drill` and `make test` work first, on a machine that has only Python 3.11+, make and pip.
# Python packages go into .venv, as locked. PgBouncer and tmux are the distribution's; where they cannot be had the drill says so.

PYTHON ?= python3
UV_VERSION := 0.9.11
VENV := .venv
UV := $(VENV)/bin/uv
BIN := $(VENV)/bin
SYNC := UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --frozen --inexact --quiet --extra drill
# Dozens of processes start in a drill and hundreds in the tests: none compiles anew what one before it has compiled.
export PYTHONDONTWRITEBYTECODE :=
ARGS ?=
SEEDS ?= 2000

.PHONY: drill test test-together test-flown test-compiled test-simulated check simulate bench bench-screen chaos setup setup-test system clean help
.DEFAULT_GOAL := help

help:
	@echo "make drill   set up, then open the cockpit on a rig that is flying already (ARGS=... go to it)"
	@echo "make test    set up, then every check and every test"
	@echo "make check   style, types and import contracts alone"
	@echo "make simulate  fly seeds on twins of every system (SEEDS=10000, or SEEDS=1000-2000)"
	@echo "make bench   the figures of benchmarks/"
	@echo "make bench-screen  the screen from outside: first paint, keys, processor, memory (DRIVE_S=3600 for an hour of keys)"
	@echo "make chaos   the rig under every fault, both ways, with oracles (ARGS='--kills 200'; ARGS='--boundaries 1'; ARGS=list)"
	@echo "make clean   remove what was set up"

drill: setup system
	@$(BIN)/cockpit drill $(ARGS)

# Tests that fly the rig or that look at a terminal come after the others, two files at a time: they wait as much as they work.
# The simulator looks at no clock: niced, it takes what all of them leave.
test: setup-test system
	@$(MAKE) --no-print-directory -j 3 check test-flown test-simulated

test-flown: test-together
	$(BIN)/pytest -q -n 2 --dist loadfile -m "drill or pty"

# Once, before several processes would each compile every test anew.
test-compiled: setup-test
	@$(BIN)/pytest -q --collect-only -p no:cacheprovider >$(VENV)/compiled.log 2>&1 || { cat $(VENV)/compiled.log; exit 1; }

test-together: test-compiled
	$(BIN)/pytest -q -n 4 -m "not drill and not pty" --ignore tests/simulate

test-simulated: test-compiled
	@nice -n 19 $(BIN)/pytest -q -n 2 -p no:cacheprovider --timeout 900 tests/simulate >$(VENV)/simulated.log 2>&1 \
	|| { cat $(VENV)/simulated.log; exit 1; }
	@echo "tests/simulate: $$(tail -n 1 $(VENV)/simulated.log)"

check: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

simulate: setup-test
	@$(BIN)/python -m tests.simulate --seeds $(SEEDS)

bench: setup-test system
	@$(BIN)/python -m benchmarks $(ARGS)

bench-screen: setup-test system
	@$(BIN)/python -m benchmarks screen

chaos: setup system
	@$(BIN)/python -m cockpit.drill.chaos $(ARGS)

setup: $(VENV)/.synced

setup-test: $(VENV)/.synced-test

$(VENV)/.synced: pyproject.toml uv.lock | $(UV)
	@$(SYNC) --no-dev
	@touch $@

$(VENV)/.synced-test: pyproject.toml uv.lock | $(UV)
	@$(SYNC) --extra dbt
	@touch $@ $(VENV)/.synced

$(UV):
	@echo "setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m pip install --quiet --user virtualenv && $(PYTHON) -m virtualenv --quiet $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

# Never fails: a drill without PgBouncer flies its apps by other channels, and says so.
system:
	@missing=""; \
	PATH="$$PATH:/usr/sbin:/usr/local/sbin"; \
	for tool in pgbouncer tmux; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] && exit 0; \
	if ! command -v apt-get >/dev/null; then echo "not installed:$$missing (no apt-get here: install them by hand)" >&2; exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=""; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; \
	else echo "not installed:$$missing (not root: sudo apt-get install$$missing)" >&2; exit 0; fi; \
	echo "installing$$missing"; \
	{ $$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq \
	  && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; } >/dev/null 2>&1 \
	|| echo "could not install:$$missing (apt-get install$$missing)" >&2

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
