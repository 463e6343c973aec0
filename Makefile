# PYTHON picks the interpreter: make test PYTHON=python3.13
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

BENCH_READY = $(VENV)/.ready-bench
DOCS_READY = $(VENV)/.ready-docs

.PHONY: run test test-torch test-long check format bench docs dist clean

run: $(READY)
	$(BIN)/kerasjoint run --preset quick

# A process for each of two cores: what XLA compiles is compiled on one.
PYTEST = $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test: $(READY)
	$(PYTEST)

# PyTorch's wheel is large, so its tests have a command of their own.
test-torch: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pytest -m torch tests/wrappers tests/test_docs.py

# What takes long: most data sets of NIST, kills, one thread, many models.
test-long: $(READY)
	$(BIN)/python -m pytest -m long

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf .types && mkdir -p .types/kerasjoint
	ln -s $(CURDIR)/kerasjoint/* $(CURDIR)/models $(CURDIR)/problems $(CURDIR)/experiments .types/kerasjoint
	cd .types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml
	$(PYTEST)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH_READY)
	OPENBLAS_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m benchmarks

# The site, in build/site: pages and tutorials run, warnings are errors.
docs: $(DOCS_READY)
	rm -rf build/site build/doctrees build/notebooks
	TF_CPP_MIN_LOG_LEVEL=3 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m sphinx --fail-on-warning --keep-going -d build/doctrees -b html docs build/site
	$(BIN)/python -m sphinx --fail-on-warning -d build/doctrees -b linkcheck docs build/linkcheck

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs,torch]'
	touch $(DOCS_READY)

# Wheel and sdist, checked, installed without the checkout, and run.
dist: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt build twine
	rm -rf dist build/dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/dist
	build/dist/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	cd build/dist && bin/kerasjoint --version && bin/kerasjoint list && bin/kerasjoint run wave-packet --n 2 --seeds 1 --method lbfgs --out run

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	touch $(BENCH_READY)

$(READY): setup.py pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else f"Python 3.11 to 3.13 is needed, {sys.executable} is {sys.version.split()[0]}; try: make PYTHON=python3.13")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .types .mypy_cache .pytest_cache .ruff_cache
