# Run `make` for the list of targets. Each target installs what it needs into .venv first.
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := uv==0.13.9
BIN := .venv/bin
CORES ?= all
export PYTHONPATH := workflow/scripts

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: .venv/lock  ## install the locked packages into .venv

# Packages are compiled once here: where PYTHONDONTWRITEBYTECODE is set, jobs start in 6 s instead of 15.
.venv/lock: requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	cp requirements.lock $@

.PHONY: run
run: .venv/lock  ## run the scaled-down experiment (CPU only, no downloads)
	$(BIN)/snakemake --cores $(CORES) --resources gpu=1

.PHONY: plan
plan: .venv/lock  ## list the jobs that `make run` would start
	$(BIN)/snakemake --dry-run --quiet rules

.PHONY: unlock
unlock: .venv/lock  ## remove the lock that a killed Snakemake run left in this directory
	$(BIN)/snakemake --unlock

.PHONY: clean
clean:  ## delete all results, but not the recorded checksums of downloads
	rm -rf results .snakemake

# Two workers, one test file each; one thread per worker avoids oversubscription.
.PHONY: test
test: lint  ## run the linters and all tests but the slow ones
	env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-slow
test-slow: .venv/lock  ## run the tests that take minutes: real datasets, time limits and restarts on SLURM
	$(BIN)/pytest -m slow

.PHONY: long-runs
long-runs: .venv/lock  ## simulate 48 hours of cells in a quarter of an hour, and update docs/long-runs.md
	ENTR_UPDATE_DOCS=1 $(BIN)/pytest -m slow tests/faults/test_long_runs.py

.PHONY: check-gpu
check-gpu: .venv/lock  ## check every code path that needs an NVIDIA GPU, and print a table of speeds
	$(BIN)/pytest tests/gpu --disable-warnings

.PHONY: coverage
coverage: .venv/lock  ## measure the coverage of the unit tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --cov --cov-report term:skip-covered tests/unit

.PHONY: lint
lint: typecheck prose  ## run all linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/snakemake --lint

.PHONY: typecheck
typecheck: .venv/lock  ## check the types of the library
	$(BIN)/mypy

# Each line of tests/prose.txt is a regular expression.
.PHONY: prose
prose:  ## refuse phrases that a native expert would not write
	@! git grep --untracked -nIiEf tests/prose.txt -- ':(exclude)tests/prose.txt' \
		':(exclude)requirements.lock' ':(exclude)envs' || \
		{ echo 'Reword the lines above; CONTRIBUTING.md has the glossary.' >&2; exit 1; }

.PHONY: format
format: .venv/lock  ## format all code
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

.PHONY: faults
faults: .venv/lock  ## survive 200 random faults in 40 minutes, and update docs/robustness.md
	OMP_NUM_THREADS=1 ENTR_FAULTS_PAGE=docs/robustness.md $(BIN)/pytest -m slow tests/faults/test_random_faults.py

# INPUT is the kind and number of a single input to repeat, such as INPUT='archives 17'.
.PHONY: fuzz
fuzz: .venv/lock  ## read 100,000 damaged inputs, and update docs/robustness.md
	OMP_NUM_THREADS=1 PYTHONPATH=workflow/scripts:tests $(BIN)/python -m fuzz $(INPUT)

# DATA are directories of images, with one sub-directory per class.
DATA ?= $(wildcard ../shared/data/neu ../shared/data/flowers)
.PHONY: benchmark
benchmark: .venv/lock  ## compare with other implementations, interleaved in one run
	$(BIN)/python benchmarks/downscale.py $(DATA)
	$(BIN)/python benchmarks/training.py $(firstword $(DATA))
	$(BIN)/python benchmarks/workflow.py

# The analysis of GRIDS simulated grids per setting takes 15 to 25 minutes on one core.
GRIDS ?= 1000
.PHONY: simulation
simulation: .venv/lock  ## validate the statistics on simulated grids, and update docs/statistics.md
	OMP_NUM_THREADS=1 $(BIN)/python -m entr.analysis.coverage_simulation --grids $(GRIDS)

.PHONY: docs
docs: .venv/lock  ## build the documentation site in site/
	rm -rf docs/study/report
	run=$$(mktemp -d) && docs/study/redraw.sh $$run && mkdir docs/study/report && \
		cp -r $$run/results/report.html $$run/results/tables $$run/results/figures docs/study/report/ && rm -r $$run
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: reference
reference: .venv/lock  ## update the schemas, the configuration keys and the table columns in the docs
	$(BIN)/python -m entr.config_reference

.PHONY: rulegraph
rulegraph: docs/rulegraph.svg  ## update the rule graph in the docs

# Needs `dot` of Graphviz; a test compares the committed file with the workflow.
docs/rulegraph.svg: Snakefile $(wildcard workflow/rules/*.smk)
	$(BIN)/snakemake --rulegraph dot 2>/dev/null | dot -Tsvg -o $@

# Tools that nothing else here needs. uv runs each in an environment of its own.
PIP_AUDIT := pip-audit==2.10.1
PIP_LICENSES := pip-licenses==5.5.5
CYCLONEDX := cyclonedx-bom==7.5.0

# uv alone, for targets that need no packages
$(BIN)/uv:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)

AUDIT_OPTIONS ?=
.PHONY: audit
audit: $(BIN)/uv  ## look for known vulnerabilities in the locked packages
	$(BIN)/uv tool run --python $(BIN)/python $(PIP_AUDIT) --requirement requirements.lock --require-hashes \
		--disable-pip --progress-spinner off $(AUDIT_OPTIONS)

SBOM ?= sbom.json
.PHONY: sbom
sbom: $(BIN)/uv  ## write a software bill of materials (CycloneDX) of the locked packages to sbom.json
	$(BIN)/uv tool run --from $(CYCLONEDX) cyclonedx-py requirements requirements.lock --pyproject pyproject.toml \
		--output-reproducible --output-format JSON --output-file $(SBOM)

.PHONY: schedules
schedules: .venv/lock  ## update the comparison of schedules in the docs from its archived cells
	PYTHONPATH=$(PYTHONPATH):tests $(BIN)/python tests/schedule_comparison.py
	run=$$(mktemp -d) && $(BIN)/snakemake --directory $$run --cores all results/figures/pareto_front.png \
		--configfile config/paper.yaml config/schedules.yaml docs/schedule_comparison/config.yaml \
		--config archive=$(CURDIR)/docs/schedule_comparison/equal_epochs && \
		cp $$run/results/figures/pareto_front.png docs/schedules_front.png

.PHONY: study
study: .venv/lock  ## update the study in the docs from its archived cells
	run=$$(mktemp -d) && docs/study/redraw.sh $$run paper && cp $$run/results/paper/* docs/study/ && rm -r $$run

.PHONY: study-crate
study-crate: .venv/lock  ## archive the study as an RO-Crate, study.crate.zip
	run=$$(mktemp -d) && docs/study/redraw.sh $$run ro_crate && cp $$run/results/entr.crate.zip study.crate.zip && \
		rm -r $$run

.PHONY: licences
licences: .venv/lock  ## update the licences of the locked packages in the docs
	$(BIN)/uv tool run $(PIP_LICENSES) --python $(BIN)/python --from mixed --format json --with-system --with-urls \
		--with-license-file --no-license-path | PYTHONPATH=$(PYTHONPATH):tests $(BIN)/python tests/licences.py

.PHONY: lock
lock:  ## upgrade all packages in requirements.lock, for every system and Python version
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

# The same packages for `snakemake --software-deployment-method conda`, which copies this file and so
# cannot find the lock next to it.
envs/entr.yaml: requirements.lock
	{ printf '# Made from requirements.lock by `make envs/entr.yaml`.\nname: entr\nchannels: [conda-forge, nodefaults]\n'; \
	  printf 'dependencies:\n  - python=3.12\n  - pip\n  - pip:\n'; \
	  sed -nE "s/^([a-z0-9._-]+==.*[^ ]) *\\\\$$/      - \"\1\"/p" requirements.lock; } > $@
