# make demo       see an agent keep its memory across processes
# make test       see it proved
# make test-all   see it proved at length
# They set up what they need in .venv, from nothing but Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = checkpoint backends/checkpoint_objectstore backends/checkpoint_sql tools tests examples benchmarks conftest.py

.PHONY: demo test test-all soak faults gigabyte bench generate lint types dist pythons clean

demo: $(VENV)/all.installed
	$(BIN)/checkpoint demo

# Every promise, on every kind of store, in a few minutes.
test: $(VENV)/dev.installed
	$(BIN)/python -m pytest -n 2

# Every test, each with all of its examples, rounds and seeds.
test-all: $(VENV)/dev.installed
	$(BIN)/python -m pytest -n 2 -m "" --hypothesis-profile=ci

# The same tests with many more examples, rounds and seeds; 16 MB records and a gigabyte of pages.
soak: $(VENV)/dev.installed
	CHECKPOINT_SOAK=1 $(BIN)/python -m pytest -n 2 -m "" tests/core tests/api tests/stores tests/system tests/simulation \
		tests/objectstore --ignore tests/objectstore/test_faults.py

# 20,000 turns of eight writers on each of two servers of S3, across a network that fails one time in five.
faults: $(VENV)/dev.installed
	CHECKPOINT_SOAK=1 $(BIN)/python -m pytest -s -m "" tests/objectstore/test_faults.py

# A gigabyte of pages in one session.
gigabyte: $(VENV)/dev.installed
	CHECKPOINT_SOAK=1 $(BIN)/python -m pytest -m "" tests/stores -k gigabyte

bench: $(VENV)/dev.installed
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/session_size.py
	$(BIN)/python benchmarks/turns.py
	$(BIN)/python benchmarks/by_hand.py
	$(BIN)/python benchmarks/by_hand.py --memory
	$(BIN)/python benchmarks/cold_start_s3.py
	$(BIN)/python benchmarks/objects.py

generate: $(VENV)/dev.installed
	$(BIN)/python tools/unasync.py
	$(BIN)/python tools/compile_sql.py

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/unasync.py --check
	$(BIN)/python tools/compile_sql.py --check

types: $(VENV)/dev.installed
	$(BIN)/mypy $(SOURCES)
	$(BIN)/pyright

# The wheel: its contents, its types as users get them, and the tests against it.
dist: $(VENV)/dev.installed
	$(BIN)/python tools/check_dist.py

# The same on every supported Python that is found here, with coverage; it says which are not found.
pythons: $(VENV)/dev.installed
	$(BIN)/python tools/check_dist.py --pythons $(OPTIONS)

clean:
	rm -rf $(VENV) .venv-3.* dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/made: Makefile
	@$(PYTHON) -c 'import sys; sys.exit("agent-checkpoint needs Python 3.11 or newer; run make PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@touch $@

$(VENV)/all.installed: $(VENV)/made pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	@touch $@

$(VENV)/dev.installed: $(VENV)/all.installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
