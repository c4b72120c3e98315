# Everything from a fresh clone: needs Python 3.11, make and a package index, nothing else.
#   make run    set up, then the whole pipeline on 336,776 real flights, in the foreground
#   make test   set up, then the fast tests
#   make dev    set up, then broker, Dagster UI and scoring service; Ctrl-C ends them
#   make check  set up, then ruff, mypy --strict, import-linter
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test test-slow test-deps dev check format lock bench clean

run: $(READY)
	$(BIN)/mlplatform run flight_delay

dev: $(READY)
	$(BIN)/mlplatform up

test: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

test-slow: $(READY)
	$(BIN)/pytest -m slow

# Servers, browsers and clients that some tests want; without them those tests say "skipped: no …".
test-deps: $(READY)
	VENV=$(VENV) sh scripts/test-deps.sh

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks.features
	$(BIN)/python -m benchmarks.ingestion
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.serving

lock: $(READY)
	$(BIN)/uv pip compile --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock --upgrade
	printf 'tritonclient[http]>=2.73\nkserve>=0.21\n' | $(BIN)/uv pip compile --python-version 3.11 --universal \
		--generate-hashes --no-emit-index-url --no-header - -o requirements-clients.lock --upgrade

clean:
	rm -rf $(VENV) .mlplatform .mypy_cache .ruff_cache .pytest_cache build *.egg-info

# The lock is complete, so nothing is resolved: every file is one of those named, with its hash. uv does it in
# seconds; where it cannot reach the index that pip is configured for, pip does the same in minutes.
$(READY): requirements.lock requirements-tools.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-tools.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --require-hashes -r requirements.lock \
		|| $(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $(READY)
