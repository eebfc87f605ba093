# Everything a reader of the sources does. Each target sets itself up; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= 2
# A GPU has one queue and one memory: chapters take turns there.
ONE_GPU := $(if $(shell command -v nvidia-smi 2>/dev/null),--resources card=1)
SNAKEMAKE = $(BIN)/snakemake --snakefile workflow/Snakefile --cores $(CORES) --quiet all --keep-going --rerun-incomplete --nolock $(ONE_GPU)

.PHONY: help book test test-device lab full clean release browser
.DELETE_ON_ERROR:

help:
	@echo "make book     run the chapters (profile quick), build the book, check it, say where to open it"
	@echo "make test     the tests"
	@echo "make test-device  every chapter, and what needs a GPU, on one that is not there (needs a C++ compiler)"
	@echo "make lab      the notebooks in JupyterLab"
	@echo "make full     run the chapters at profile full (hours on a laptop's CPU; resumes where it stopped)"
	@echo "make release  everything that must hold before publishing"
	@echo "make clean    remove what was built and the environment"

book: .venv/ready
	@$(SNAKEMAKE) --config profile=quick
	@$(BIN)/python -m companion book

test: .venv/ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

test-device: .venv/ready
	@$(BIN)/python tests/device

lab: .venv/ready
	@$(BIN)/jupyter lab notebooks

full: .venv/ready
	@$(SNAKEMAKE) --config profile=full

release: .venv/ready
	@test -z "$$(git status --porcelain)" || { echo "release: expected a clean checkout, got changes"; git status --short; exit 1; }
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/codespell
	@$(MAKE) --no-print-directory browser test test-device book
	@$(BIN)/python -m companion recorded

# Chromium checks of the site need npm; the book does not.
browser:
	@cd workflow/browser && npm ci --silent

clean:
	rm -rf .venv _build .snakemake .pytest_cache .ruff_cache workflow/browser/node_modules

.venv/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" \
	  || { echo "make: expected Python 3.11 to 3.13, got $$($(PYTHON) --version); name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Installing into .venv (about two minutes, 1.6 GB, once)"
	@$(PYTHON) -m venv .venv
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet --editable '.[book,test]'
	@touch $@
