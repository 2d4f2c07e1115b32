# Each target makes what it needs: .venv from the lock, then its work.
PYTHON ?= python3
UV := uv==0.13.9
BIN := .venv/bin
CORES ?= all

.PHONY: run test test-slow lint bench simulate lock reference status unlock clean
.DEFAULT_GOAL := run

run: .venv/lock
	$(BIN)/snakemake --cores $(CORES) --resources gpu=1

# a file of tests at a time on each of two cores; torch's threads would only wait for each other
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# those that take minutes: time limits and restarts on SLURM
test-slow: .venv/lock
	$(BIN)/pytest -m slow

lint: .venv/lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# ours against others, in turns within one run; DATA has folders of images, one sub-folder a class each
DATA ?= $(wildcard ../shared/data/neu ../shared/data/flowers)
bench: .venv/lock
	PYTHONPATH=workflow/scripts $(BIN)/python benchmarks/downscale.py $(DATA)
	PYTHONPATH=workflow/scripts $(BIN)/python benchmarks/training.py $(firstword $(DATA))
	PYTHONPATH=workflow/scripts $(BIN)/python benchmarks/workflow.py

# the analysis on grids whose truth is known, a quarter of an hour of one core; GRIDS of each setting
GRIDS ?= 1000
simulate: .venv/lock
	PYTHONPATH=workflow/scripts OMP_NUM_THREADS=1 $(BIN)/python -m entr.simulation --grids $(GRIDS)

# remade when the lock changes; --require-hashes is what the lock's hashes are for. Compiled once here, where
# PYTHONDONTWRITEBYTECODE is set jobs start in 6 s and not in 15
.venv/lock: requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	cp requirements.lock $@

# new versions of everything that pyproject.toml names, for every system and Python
lock:
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

# the same packages for snakemake --software-deployment-method conda, which copies this file away
# from the lock, so that it cannot refer to it
envs/entr.yaml: requirements.lock
	{ printf '# Made from requirements.lock by `make envs/entr.yaml`.\nname: entr\nchannels: [conda-forge, nodefaults]\n'; \
	  printf 'dependencies:\n  - python=3.12\n  - pip\n  - pip:\n'; \
	  sed -nE "s/^([a-z0-9._-]+==.*[^ ]) *\\\\$$/      - \"\1\"/p" requirements.lock; } > $@

# schemas and the table of keys, from the models of the configuration
reference: .venv/lock
	PYTHONPATH=workflow/scripts $(BIN)/python -m entr.reference

status: .venv/lock
	$(BIN)/snakemake --dry-run --quiet rules

unlock: .venv/lock
	$(BIN)/snakemake --unlock

clean:
	rm -rf results .snakemake
