# make demo   the main job on real pictures
# make test   the tests, real servers included
# make bench  how fast it is, beside other libraries; bench-quick in about a minute
# make regions  what users see of a region that fails, beside other libraries; 6 minutes
# make shake  the tests with threads held up at random, SEED= of it, TESTS= of them
# make random  the tests that draw examples, with a hundred times as many, or TIMES=
# make soak   that, and processes that are killed and wronged, for some hours
# make package  the wheel, installed alone on every Python there is, and tried
# make docs     the documentation as a site, in build/site
# Each does all its own set-up; PYTHON=python3.12 chooses another interpreter.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := -m pip install --quiet --disable-pip-version-check
PIP := $(BIN)/python $(INSTALL)
PEERS := $(VENV)/peers/bin

.PHONY: demo test bench bench-quick regions shake random soak lint types package docs clean

demo: $(VENV)/demo
	$(BIN)/tiered-store demo $(DEMO)

test: $(VENV)/test
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(TESTS)

bench: $(VENV)/bench
	$(PEERS)/python -m benchmarks $(BENCH)

bench-quick: $(VENV)/bench
	$(PEERS)/python -m benchmarks --quick $(BENCH)

regions: $(VENV)/bench
	$(PEERS)/python -m benchmarks.regions $(REGIONS)

SEED ?= 1

shake: $(VENV)/test
	$(BIN)/python -m pytest -p tests.shaking --shake $(SEED) $(TESTS)

TIMES ?= 100

random: $(VENV)/test
	TIERED_STORE_THOROUGH=$(TIMES) $(BIN)/python -m pytest --timeout 0 \
	$$(grep -lE '^from (hypothesis|tests\.thorough) ' tests/test_*.py)

WRONGS := --evict --kill-feeds --kill-writers

soak: random
	for seed in 1 2 3 4 5; do \
	$(BIN)/python -m tests.cache_stress --seconds 60 --seed $$seed && \
	$(BIN)/python -m tests.cache_stress --seconds 60 --seed $$seed --evict --kill-feeds && \
	$(BIN)/python -m tests.cache_stress --seconds 120 --seed $$seed $(WRONGS) && \
	$(BIN)/python -m tests.cache_stress --seconds 60 --seed $$seed $(WRONGS) --no-memory \
	|| exit 1; done
	folder=$$(mktemp -d) && $(BIN)/python -m tests.large "$$folder/large" --size 5GiB \
	&& rm -rf "$$folder"
	$(BIN)/python -m tests.model_mirror 100000 ""
	$(BIN)/python -m tests.test_verify_properties 5000
	for campaign in "directories --rounds 2000" "mixed --rounds 250" "s3 --rounds 250" \
	"directories --rounds 250 --journal redis" "mixed --rounds 50 --journal redis" \
	"directories --rounds 250 --journal postgres" "mixed --rounds 50 --journal postgres"; do \
	folder=$$(mktemp -d) && $(BIN)/python -m tests.kills "$$folder" --replicas $$campaign \
	&& rm -rf "$$folder" || exit 1; done
	folder=$$(mktemp -d) && $(BIN)/python -m tests.writers "$$folder" --rounds 1000 \
	&& rm -rf "$$folder"

lint: $(VENV)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/lint
	$(BIN)/mypy

# every interpreter on the PATH, or of pyenv
PYTHONS ?= $(shell for minor in 11 12 13 14 15; do \
	for python in python3.$$minor ~/.pyenv/versions/3.$$minor.*/bin/python; do \
	if $$python -c 'pass' 2>/dev/null; then echo $$python; break; fi; done; done)

docs: $(VENV)/docs
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going -q docs build/site
	@echo build/site/index.html

package: $(VENV)/package
	rm -rf dist && $(BIN)/python -m build --outdir dist >/dev/null
	for python in $(PYTHONS); do folder=$$(mktemp -d) && \
	$$python -m venv --without-pip "$$folder/venv" && \
	$(BIN)/python -m pip --python "$$folder/venv/bin/python" \
	install --quiet --disable-pip-version-check --no-compile dist/*.whl && \
	cp tests/installed.py "$$folder" && \
	(cd "$$folder" && venv/bin/python -W error installed.py) && \
	rm -rf "$$folder" || exit 1; done

$(VENV)/python:
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or later on the PATH" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/demo: $(VENV)/python pyproject.toml
	$(PIP) --editable '.[demo]'
	touch $@

$(VENV)/test: $(VENV)/python pyproject.toml
	$(PIP) --editable '.[demo,test]'
	touch $@

$(VENV)/docs: $(VENV)/python pyproject.toml
	$(PIP) --editable '.[docs,test]'
	touch $@

$(VENV)/package: $(VENV)/python
	$(PIP) build
	touch $@

$(VENV)/bench: $(VENV)/python pyproject.toml benchmarks/requirements.txt
	$(BIN)/python -m venv $(VENV)/peers
	$(PEERS)/python $(INSTALL) --editable . --requirement benchmarks/requirements.txt
	touch $@

$(VENV)/lint: $(VENV)/python pyproject.toml
	$(PIP) --editable '.[demo,test,lint]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
