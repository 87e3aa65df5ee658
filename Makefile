# Everything works on a fresh machine with python3 (3.11 or later), make and git.
.PHONY: run test fuzz faults lint bench profiles lock

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

run: $(VENV)/.ready ## run the demo on this machine
	snakemake --profile profiles/local

test: $(VENV)/.ready ## run all tests
	python -m pytest -n 3 --dist loadgroup  # on two cores: many tests wait

fuzz: $(VENV)/.ready ## try some thousand broken configs; a few minutes
	ENSEMAKE_FUZZ=3000 python -m pytest -n 2 tests/fuzz

lint: $(VENV)/.ready ## check style, types and who imports from whom
	ruff check .
	ruff format --check .
	snakefmt --check workflow/Snakefile rules
	mypy
	lint-imports

bench: $(VENV)/.ready $(VENV)/official ## measure what a member costs, beside other tools; BENCH="--help" for options
	python tests/benchmarks/bench.py $(BENCH)

faults: $(VENV)/.ready ## disturb runs at random moments, a quarter of an hour; FAULTS="--help" for options
	python tests/faults/faults.py $(FAULTS)

profiles: $(VENV)/.ready ## make --profile local, slurm and pbs work from any folder
	ensemake profiles

lock: ## renew the lock file after a change in pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-emit-index-url \
	  --no-header --output-file requirements.lock pyproject.toml

# A folder of its own: what lies in the environment is imported whenever Snakemake starts.
$(VENV)/official: $(VENV)/.ready
	-@python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $@ \
	  "snakemake-executor-plugin-slurm>=2.8,<3" snakemake-executor-plugin-slurm-jobstep && touch $@

$(VENV)/.ready: requirements.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ensemake needs python3 3.11 or later, this is $$(python3 -V)"; exit 1; }
	@python3 -m venv $(VENV) || { echo "python3 has no venv here: apt-get install python3-venv"; exit 1; }
	@echo "Installing the environment into $(VENV); once, about a minute"
	@python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@python -m compileall -q workflow
	@touch $@
