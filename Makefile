# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
GRAPH := graphs/movielens-100k
RUN := runs/demo

.PHONY: demo test check docs clean

demo: .venv/.installed
	$(BIN)/graphrec data build movielens-100k --out $(GRAPH)
	$(BIN)/graphrec data draw $(GRAPH) --node user:1 --hops 2 --out $(GRAPH)-user-1.png
	$(BIN)/graphrec run flagship --quick data.card=movielens-100k --resume --out $(RUN)
	$(BIN)/graphrec recommend $(RUN) --user 1 -k 5 --explain
	@echo
	@echo "The graph is in $(GRAPH), the picture of user 1 is $(GRAPH)-user-1.png,"
	@echo "the run is in $(RUN): open its report.html"

# Two workers with a thread each, which sleep while they wait: as fast, and kind to a shared machine.
test: .venv/.installed-dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist worksteal

check: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py tests/test_readme.py

# Strict: a broken link, a page outside the navigation or a bad reference is an error.
docs: .venv/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv graphs runs site

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(PIP) install --quiet --upgrade pip

# torch goes first, so that everything after it is resolved against the pinned build.
.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@
