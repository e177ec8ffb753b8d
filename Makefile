# medpipe: every command a developer or a new user needs. `make help` lists them.
# Each target sets up what it needs by itself; a second call is quick.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# lakes are synced file by file: in memory, where there is room for them, that costs the tests no time
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 == "tmpfs" && $$4 > 4000000 { print "/dev/shm" }')
# a file stays with one process, and files start in their order: the rooms with the longest come first
PYTEST := $(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/python -m pytest \
	-n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick long check format types floors docs bench reference chaos fuzz models lock wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from the hash-pinned lock

$(READY): requirements/dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "medpipe needs Python 3.11, 3.12 or 3.13 on the PATH"; exit 5; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## phantom archive -> whole recipe -> model -> tables, in minutes
	$(BIN)/python -m flows.demo

test: $(READY) ## the whole test suite
	$(PYTEST) -m "not long"

quick: $(READY) ## the test suite without the slow tests
	$(PYTEST) -m "not slow and not long"

long: $(READY) ## tests of the suite once more, at many times their size
	$(PYTEST) -m long

check: $(READY) ## format, lint, types, floors and docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/reference/build.py --check

format: $(READY) ## rewrite the code in its one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## write the reference pages anew from the code
	$(BIN)/python docs/reference/build.py

bench: $(READY) ## paired benchmarks against the peers, equality checked in the same run
	$(BIN)/python -m tests.bench

chaos: $(READY) ## kill runs and cut the power thousands of times, compare the bytes, count as JSON (an hour)
	$(BIN)/python -m tests.chaos -o chaos.json
	$(BIN)/python -m pytest tests/chaos -m "" --kills 200 --rounds 5

fuzz: $(READY) ## read a hundred thousand damaged files, count what becomes of them as JSON (a quarter of an hour)
	$(BIN)/python -m tests.fuzz -o fuzz.json

reference: $(READY) ## run the reference archive, hold the tables against its readers' answers (needs the data)
	$(BIN)/python -m tests.reference

models: $(READY) ## train the shipped demonstration models on phantoms again
	$(BIN)/python -m tests.tools.train_shipped

lock: $(READY) ## compile the locks again (needs uv)
	cd requirements && uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate dev.in -o dev.lock
	cd requirements && uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate -c dev.lock runtime.in -o runtime.lock

wheel: $(READY) ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

clean: ## remove what the targets made, .venv included
	rm -rf $(VENV) build dist demo *.egg-info
