# What people type. `make up` is all that a fresh machine needs: Python 3.11 or newer, Node 20.19 or newer, make.
.DEFAULT_GOAL := help
.PHONY: help up down test check bench lock format install install-dev

# The first Python here that is new enough; else the usual one, which then says what is wrong with it.
GOOD := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c '$(GOOD)' >/dev/null 2>&1 && { echo "$$each"; exit; }; done; command -v python3)
endif
BIN := .venv/bin
ARGS ?=

help:
	@echo "make up      start Treadle (installs what it needs the first time); ARGS=... are passed on"
	@echo "make down    stop it"
	@echo "make test    all checks and tests      make check   the checks alone"
	@echo "make format  put the code in form      make lock    choose versions anew"
	@echo "make bench   measure"

up: install
	@exec $(BIN)/treadle up $(ARGS)

down:
	@if [ -x $(BIN)/treadle ]; then exec $(BIN)/treadle down; else echo "Treadle is not installed here, so nothing runs."; fi

install:
	@[ -n "$(PYTHON)" ] || { echo "Treadle: Python was not found: install Python 3.11 or newer."; exit 1; }
	@"$(PYTHON)" scripts/install.py requirements.lock

install-dev:
	@[ -n "$(PYTHON)" ] || { echo "Treadle: Python was not found: install Python 3.11 or newer."; exit 1; }
	@"$(PYTHON)" scripts/install.py requirements-dev.lock

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy checks scripts
	$(BIN)/lint-imports
	$(BIN)/python checks/sizes.py
	$(BIN)/python checks/private_names.py

test: check
	$(BIN)/python -m pytest -n 2

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install-dev
	$(BIN)/python -m benchmarks $(ARGS)

# uv.lock holds addresses and stays out of git; the exported files hold names, versions and hashes only.
lock: install-dev
	$(BIN)/uv lock --python $(BIN)/python --upgrade
	$(BIN)/uv export --frozen --no-emit-project --no-header --no-annotate --no-default-groups --group build -o requirements.lock > /dev/null
	$(BIN)/uv export --frozen --no-emit-project --no-header --no-annotate --group build --group dev --all-extras -o requirements-dev.lock > /dev/null
