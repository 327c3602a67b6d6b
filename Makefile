# Everything a newcomer needs: setup, demo, test. Each target installs what it lacks.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help setup demo test test-chaos lint clean
.DEFAULT_GOAL := help

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed  ## create .venv and install Gimbal into it

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or call make PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade setuptools
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup  ## train a next-best-view policy on 2 cores and compare it with its baselines
	$(BIN)/gimbal run configs/nbv/quickstart.yaml

test: setup  ## the default tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-chaos: setup  ## neighbours, kills and restarts: whole services on real Ray
	$(BIN)/python -m pytest -m 'chaos and not slow'

lint: setup  ## ruff, the strict type checker and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:  ## remove the environment and caches, never runs
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
