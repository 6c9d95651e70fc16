# `make demo` and `make test` are all a newcomer types. Each creates .venv and installs pinned dependencies once.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ROOT ?= data
PYTEST_ARGS ?=

.PHONY: help demo test check audit bench clean-venv

help:
	@echo "make demo    the whole loop on the shipped library, into $(ROOT)/ (about 5 minutes on 2 cores)"
	@echo "make test    linters, types, import contracts and all tests (about 45 minutes on 2 cores)"
	@echo "make check   the linters alone"
	@echo "make audit   what is installed: pinned, fitting, licences, known weaknesses (looked up where there is a network)"
	@echo "make bench   ratios against bare loops"

demo: $(VENV)/.installed
	@$(BIN)/dubwright --root "$(ROOT)" demo

# Two files at a time, for two cores: tests wait a good deal for servers and clusters to come up.
test: check
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

audit: $(VENV)/.installed-dev
	@$(BIN)/python infra/audit.py

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m pytest tests/bench -c tests/bench/pytest.ini -s

# The first of these that is 3.11 or newer. `command -v` is not enough: version managers leave shims that do not run.
$(BIN)/python:
	@for candidate in "$$PYTHON" python3.11 python3.12 python3.13 python3 python; do \
	  [ -n "$$candidate" ] || continue; \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "Creating $(VENV) with $$candidate"; \
	    "$$candidate" -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "$$candidate cannot create virtual environments (on Debian: apt-get install python3-venv)" >&2; exit 1; \
	  fi; \
	done; \
	echo "dubwright needs Python 3.11 or newer on PATH (or: make PYTHON=/path/to/python3.11); found: $$(python3 --version 2>&1)" >&2; exit 1

# Machines without a display often lack libGL, which the usual OpenCV wheel links to: the headless build of the same
# version takes its place there.
$(VENV)/.installed: pyproject.toml infra/constraints.txt | $(BIN)/python
	@echo "Installing pinned dependencies into $(VENV) (a few minutes, once)"
	@$(PIP) install --quiet --constraint infra/constraints.txt --editable .
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  echo "OpenCV cannot load here (no libGL): taking its headless build"; \
	  $(PIP) uninstall --quiet --yes opencv-python; \
	  $(PIP) install --quiet --no-deps opencv-python-headless==5.0.0.93; }
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) install --quiet --constraint infra/constraints.txt --editable '.[dev,studio,s3]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  $(PIP) uninstall --quiet --yes opencv-python; \
	  $(PIP) install --quiet --no-deps --force-reinstall opencv-python-headless==5.0.0.93; }
	@touch $@

clean-venv:
	rm -rf $(VENV)
