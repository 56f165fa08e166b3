# Everything that is done with this repository by hand or by a machine. `make help` lists it.
#
# There are two ways to fill .venv: what Segue needs to run (for `make demo`), and what developers need as well. Each
# leaves a stamp, older than pyproject.toml only when dependencies may have changed: a second call needs no network.

PYTHON ?= python3
VENV   ?= .venv
# further words for the command that a target runs, as in: make demo ARGS=--crash
ARGS   ?=

BIN      := $(VENV)/bin
RUNTIME  := $(VENV)/.runtime-installed
DEVELOP  := $(VENV)/.develop-installed
PIP      := $(BIN)/python -m pip --disable-pip-version-check install --quiet
RIVALS   := .venv-peers

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo venv servers test unit check format bench peers soak mutants clean

help:  ## list these targets
	@echo "Segue: durable workflows of background tasks. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=$(PYTHON) (3.11 or newer), VENV=$(VENV), ARGS='further words for the command'"

demo: $(RUNTIME)  ## install what Segue needs to run, and run its demo (ARGS=--crash to see it survive)
	@$(BIN)/segue demo $(ARGS)

venv: $(DEVELOP)  ## make .venv with Segue and everything that developers need

servers: $(DEVELOP)  ## find or install the servers that the tests start for themselves
	@$(BIN)/python -m tests.servers

test: check servers  ## all checks and all tests, on a machine that may have nothing yet
	@$(BIN)/python -m pytest $(ARGS)

unit: $(DEVELOP)  ## only the tests that need no server and no process, in seconds
	@$(BIN)/python -m pytest -m "unit or house" $(ARGS)

check: $(DEVELOP)  ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEVELOP)  ## put the code into shape
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

bench: $(DEVELOP)  ## measure Segue on this machine (ARGS are those of `segue bench`)
	@$(BIN)/segue bench $(ARGS)

peers: $(RIVALS)/.installed  ## measure Segue beside Celery, huey, DBOS and procrastinate
	@$(RIVALS)/bin/python -m benchmarks.peers $(ARGS)

soak: servers  ## property and crash tests with far more examples, every minute of 68 years; takes long
	@$(BIN)/python -m pytest -m "property or crash" --hypothesis-profile=soak --timeout=3600 $(ARGS)
	@$(BIN)/python -m tests.crash.soak --minutes 3
	@$(BIN)/python -m tests.unit.timetable.full_oracle

mutants: servers  ## break the engine in known ways and see that the tests notice
	@$(BIN)/python -m tests.property.mutants

clean:  ## remove environments, caches and what was built
	rm -rf $(VENV) $(RIVALS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml scripts/make-venv.sh
	@echo "Installing Segue into $(VENV) ..."
	@scripts/make-venv.sh $(PYTHON) $(VENV)
	@$(PIP) --editable .
	@touch $@

$(DEVELOP): pyproject.toml scripts/make-venv.sh
	@echo "Installing Segue and its development tools into $(VENV) ..."
	@scripts/make-venv.sh $(PYTHON) $(VENV)
	@$(PIP) --editable '.[dev]'
	@touch $@ $(RUNTIME)

$(RIVALS)/.installed: pyproject.toml scripts/make-venv.sh
	@echo "Installing Segue and its rivals into $(RIVALS) ..."
	@scripts/make-venv.sh $(PYTHON) $(RIVALS)
	@$(PIP:$(BIN)/%=$(RIVALS)/bin/%) --editable '.[peers]'
	@touch $@
