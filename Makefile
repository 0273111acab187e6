# make demo | test | check | bench | clean
#
# Each command makes what it needs: a virtual environment in .venv, with the versions of constraints.txt.
# The first run installs (about a minute), later runs start at once.
#
# On Linux, torch from the package index brings the CUDA libraries, some gigabytes. Without a GPU, PyTorch's CPU build is enough.

PYTHON ?= python3
PY := .venv/bin/python
# The tests run in parallel, and one by one with `make test PYTEST_ARGS=`.
PYTEST_ARGS ?= -n auto --maxprocesses=8

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    restore a noisy photo with a network of a dozen lines; the pictures go to restored/"
	@echo "make test    run the tests"
	@echo "make check   format, lint, types, imports, tests: all that a change has to pass"
	@echo "make bench   run the benchmarks"
	@echo "make clean   remove .venv and everything that the commands made"

demo: .venv/demo.stamp
	$(PY) examples/restore_photo.py --output restored

test: .venv/test.stamp
	$(PY) -m pytest $(PYTEST_ARGS)

check: .venv/test.stamp
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m pytest $(PYTEST_ARGS)

bench: .venv/test.stamp
	$(PY) bench/overhead.py
	$(PY) bench/memory.py
	$(PY) bench/scale.py

# What is installed: the stamp is newer than what it was made from.
.venv/demo.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo]"
	@touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,demo]"
	@touch $@ .venv/demo.stamp

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "skipseq needs Python 3.11 or newer, and '$(PYTHON)' was not found."; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "skipseq needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
		echo "Name a newer one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu it is a package of its own: apt install python3-venv"; exit 1; }

clean:
	rm -rf .venv restored build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests examples bench -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
