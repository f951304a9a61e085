# Everything runs in .venv, built from the hash-pinned lock in requirements/dev.txt.
# uv does the installing: the one on the PATH, or the one that the lock pins.
#   make demo    set up, fit the bundled data set, print the table of ROAS
#   make test    set up, run the tests        (PYTEST_ARGS="-n 2 -k adstock" to choose)
#   make check   lint, format, types, import contracts; lists pages of docs/results that are out of date
#   make results measure these pages again (resumes where it stopped; PAGES="sbc recovery" chooses some)
#   make lock    resolve the dependencies of pyproject.toml again

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.txt
STAMP := $(VENV)/.installed
PYTEST_ARGS ?= -n 2 --dist loadscope
LOCK_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check results format lock build clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

$(STAMP): $(LOCK) pyproject.toml requirements/setup.sh
	@sh requirements/setup.sh $(VENV) $(LOCK)
	@touch $@

demo: setup
	$(BIN)/mmm-bayes demo

test: setup
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python benchmarks/pages.py

results: setup
	$(BIN)/python benchmarks/pages.py run $(PAGES)

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# --universal resolves for every platform and Python at once; no registry address enters the file.
# XGBoost uses NCCL (200 MB) with several GPUs only: the tests do without it.
lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.12 --generate-hashes \
	    --no-emit-index-url --no-emit-package nvidia-nccl-cu13 --custom-compile-command "make lock" $(LOCK_ARGS) --output-file $(LOCK) --quiet

build: setup
	$(BIN)/python -m hatchling build

clean:
	[ ! -f $(VENV)/pyvenv.cfg ] || rm -rf $(VENV)
	rm -rf dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
