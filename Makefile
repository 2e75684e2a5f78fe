# One command each; `make help` lists them. Everything lives in .venv; nothing else on the machine is changed.

# A CUDA build of torch: make report TORCH="torch==2.13.0 --index-url ADDRESS" with the address from its install page.
PYTHON ?= python3
TORCH ?= torch==2.13.0
CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
KILLS ?= 30
SMOKE_RESULTS ?= results/smoke
SMOKE := --configfile config/experiments/smoke.yaml --config results=$(SMOKE_RESULTS)

.DEFAULT_GOAL := help
.PHONY: help report repro smoke test faults reruns test-slurm lint format bench bench-peers verify pictures clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; choose one with PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(TORCH)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[development]"
	touch $@

report: $(VENV)/installed ## run the default experiment; the page is results/report/index.html
	$(BIN)/snakemake --cores $(CORES)
	@echo "The report is results/report/index.html"

repro: $(VENV)/installed ## the same through DVC, which keeps the results of every configuration in its cache
	@test -x $(BIN)/dvc || { echo "The command dvc is missing; install it with: $(BIN)/pip install -c constraints.txt 'dvc>=3.67,<4'" >&2; exit 1; }
	$(BIN)/eddymark dvc write
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/eddymark dvc record
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

smoke: $(VENV)/installed ## run every stage of both flows at the smallest size, in a few minutes
	$(BIN)/snakemake --cores $(CORES) $(SMOKE)
	@echo "The report is $(SMOKE_RESULTS)/report/index.html"

test: $(VENV)/installed ## run all tests, in up to four processes
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

faults: $(VENV)/installed ## kill the smoke run at KILLS random moments and compare with an undisturbed one (15 min)
	$(BIN)/python -m tests.faults.kills --kills $(KILLS) $(if $(SEED),--seed $(SEED))

reruns: $(VENV)/installed ## what reruns when, in DVC and Snakemake, with everything computed (15 min)
	EDDYMARK_TEST_COMPUTES=1 $(BIN)/python -m pytest tests/workflow/test_dvc.py

test-slurm: $(VENV)/installed ## run the workflow on a Slurm cluster set up on this machine for the test (root, Debian)
	@test "$$(id -u)" = 0 || { echo "make test-slurm needs root: it installs Slurm and starts its daemons" >&2; exit 1; }
	@command -v slurmctld > /dev/null && command -v slurmd > /dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends slurm-wlm munge; }
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[slurm]"
	EDDYMARK_TEST_SLURM=1 timeout -k 30 3600 $(BIN)/python -m pytest -x tests/slurm

lint: $(VENV)/installed ## check style, types, imports and the workflow
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(VENV)/installed ## format the sources and the workflow
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

bench: $(VENV)/installed ## measure speed and memory
	$(BIN)/python benchmarks/run.py

.peers/installed: benchmarks/requirements.txt pyproject.toml
	test -x .peers/bin/python || $(PYTHON) -m venv .peers
	.peers/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(TORCH)
	.peers/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e . -r benchmarks/requirements.txt
	touch $@

bench-peers: .peers/installed ## time a solver step beside those of other packages (in .peers, an environment of its own)
	.peers/bin/python -m benchmarks.peers

verify: $(VENV)/installed .peers/installed ## compare solver and closures with references from elsewhere; writes docs/verification.md (30 min)
	.peers/bin/python -m benchmarks.agreement
	$(BIN)/python -m verification

pictures: report ## remake the pictures in docs/ from the report and the workflow (needs graphviz)
	$(BIN)/snakemake --cores 1 --rulegraph --forceall | dot -Tsvg > docs/images/workflow.svg
	cp results/report/figures/kolmogorov-snapshots.svg docs/images/snapshots.svg

clean: ## remove results and caches, but not .venv
	rm -rf results .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
