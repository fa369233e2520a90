# Everything from a fresh machine with Python 3.11 or newer and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed-from-lock
# Two workers: what a small machine has; more with `make test JOBS=8`.
JOBS   ?= 2
# Durations and sizes of the long runs; smaller values make a shorter run.
KILLS  ?= 200
BACKLOG ?= 1000000
# minutes of each soak
SOAK   ?= 5
DATA   ?= out/demo

.PHONY: help install packages run test lint types contracts unit site torture bench docs lock clean

help:            ## this list
	@awk -F '##' '/^[a-z]+:.*##/ {split($$1, n, ":"); printf "  make %-10s %s\n", n[1], $$2}' Makefile

install: $(STAMP)  ## virtual environment with the locked versions, and medbus in it

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "medbus needs Python 3.11 or newer; say which one: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: install       ## the engine with a sample HIS and a sample LIS, messages flowing
	$(BIN)/medbus demo --folder $(DATA)

test: lint types contracts unit site  ## lint, types, import contracts, tests, the sample site's own tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

contracts: install
	$(BIN)/lint-imports

# Debian packages: a C compiler for the fault shim, openssl as a foreign TLS peer.
packages:          ## the Debian packages that tests need (gcc, openssl), where they are missing
	@command -v cc >/dev/null && command -v openssl >/dev/null || { echo "installing gcc, libc6-dev, openssl"; \
	  $(if $(filter 0,$(shell id -u)),,sudo) sh -c 'apt-get update -qq && apt-get install -y -qq gcc libc6-dev openssl'; }

unit: install packages
	$(BIN)/python -m pytest -n $(JOBS) -q

site: install
	$(BIN)/medbus check
	$(BIN)/medbus test

torture: install packages  ## long: kills under load, every fault, soaks, a great backlog; writes docs/reliability.md
	$(BIN)/python -m tests.torture --kills $(KILLS) --backlog $(BACKLOG) --soak $(SOAK)

bench: install     ## engine and floor program side by side, in one run
	$(BIN)/medbus bench

docs: install      ## renew the parts of docs/ that are made from the program
	$(BIN)/python -m tests.docs.render
	$(BIN)/python -m tests.deid.render

lock: install      ## renew requirements.lock from what is installed now
	@{ head -1 requirements.lock; $(BIN)/python -m pip freeze --exclude-editable --all | sed -e '/^pip==/d' \
	  -e "s/^\(pysqlite3==.*\)/\1; sys_platform == 'linux' and platform_machine == 'x86_64'/" \
	  -e "s/^\(uvloop==.*\)/\1; sys_platform != 'win32'/"; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean:             ## remove what make made; never a data folder
	rm -rf $(VENV) build medbus.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
