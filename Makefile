# Everything a reader of the sources does. Each target sets itself up; `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= 2
# Where a machine has no GPU: make book TORCH=cpu, for an environment of less than half the size.
TORCH ?=
# Adds a target's own packages to the environment.
WITH = PIP_CONSTRAINT=constraints.txt PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

# A shell's own Python modules, backend or home must not change what is run here; text is UTF-8 whatever the terminal.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS PYTHONIOENCODING MPLBACKEND MATPLOTLIBRC
export PYTHONUTF8 := 1

.PHONY: help book pdf slides test test-device test-cluster lab full clean release browser course
.DELETE_ON_ERROR:

help:
	@echo "make book     run the chapters (profile quick), build the book, check it, say where to open it"
	@echo "make pdf      the book as one PDF, from the runs of make book (needs LaTeX)"
	@echo "make slides   a deck of slides for each chapter, from the runs of make book"
	@echo "make test     the tests"
	@echo "make test-device  every chapter, and what needs a GPU, on one that is not there (needs a C++ compiler)"
	@echo "make test-cluster  the README's cluster command on a SLURM of this machine's own (root, apt)"
	@echo "make lab      the notebooks in JupyterLab"
	@echo "make full     run the chapters at profile full (hours on a laptop's CPU; resumes where it stopped)"
	@echo "make release  everything that must hold before publishing"
	@echo "make browser  ready the checks of the pages in chromium (needs npm)"
	@echo "make course   editions for a course: make course SEED=271828 CHAPTERS=03,05 OUT=course"
	@echo "make clean    remove what was built and the environment"

book: .venv/ready
	@$(BIN)/python -m companion chapters --profile quick --cores $(CORES)
	@$(BIN)/python -m companion book

# Both start from the runs of `make book`, and run no chapter themselves.
pdf: .venv/ready
	@$(BIN)/python -c 'import pypdf' 2>/dev/null || $(WITH) '.[print]'
	@$(BIN)/python -m companion pdf

slides: .venv/ready
	@$(BIN)/python -c 'import sphinx_revealjs' 2>/dev/null || $(WITH) '.[slides]'
	@$(BIN)/python -m companion slides

# One process more than CORES: what is started, killed or browsed is waited for.
test: .venv/ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $$(($(CORES) + 1))

test-device: .venv/ready
	@$(BIN)/python tests/device

# CLUSTER=--required, in CI: where no SLURM can be started, that is a failure.
CLUSTER ?=
test-cluster: .venv/ready
	@$(BIN)/python -c 'import snakemake_executor_plugin_slurm' 2>/dev/null || PIP_CONSTRAINT=constraints.txt PIP_USER=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[book,test,cluster]'
	@$(BIN)/python tests/cluster $(CLUSTER)

lab: .venv/ready
	@$(BIN)/jupyter lab notebooks

full: .venv/ready
	@$(BIN)/python -m companion chapters --profile full --cores $(CORES)

release: .venv/ready
	@test -z "$$(git status --porcelain)" || { echo "release: expected a clean checkout, got changes"; git status --short; exit 1; }
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	@$(BIN)/codespell
	@$(MAKE) --no-print-directory browser test test-device book
	@$(BIN)/python -m companion recorded

# Without nbgrader, where no package index is to be had, there is no gradebook; all else is made.
SEED ?=
CHAPTERS ?= 03
OUT ?= course
course: .venv/ready
	@test -n "$(SEED)" || { echo "course: expected SEED=, a number that students cannot guess, got none"; exit 1; }
	@$(BIN)/python -c 'import nbgrader' 2>/dev/null || $(WITH) '.[course]' || echo "course: going on without nbgrader"
	@$(BIN)/python -m companion course make --seed $(SEED) --chapters $(CHAPTERS) --out $(OUT)

# Chromium checks of the site need npm; the book does not.
browser:
	@cd workflow/browser && npm ci --silent

clean:
	rm -rf .venv .venv.lock _build .snakemake .mypy_cache .pytest_cache .ruff_cache workflow/browser/node_modules

# The environment knows the folder it was made in: a checkout that was copied or moved gets a new one.
ifneq "$(shell cat .venv/ready 2>/dev/null)" "$(CURDIR)"
.PHONY: .venv/ready
endif
.venv/ready: constraints.txt pyproject.toml
	@$(PYTHON) workflow/install.py $(TORCH)
