# All tasks of this repository, for people and for continuous integration. `make help` lists them.
#
# .venv can be filled in two ways: with what Segue needs to run (for `make demo`), or also with what developers need.
# Each leaves a stamp; if it is newer than pyproject.toml, nothing is installed, so a second call needs no network.

PYTHON ?= python3
VENV   ?= .venv
# further arguments for the command that a target runs, as in: make demo ARGS=--crash
ARGS   ?=

BIN      := $(VENV)/bin
RUNTIME  := $(VENV)/.runtime-installed
DEVELOP  := $(VENV)/.develop-installed
PIP      := $(BIN)/python -m pip --disable-pip-version-check install --quiet
RIVALS   := .venv-peers
CHECKS   := typed layered linted formatted

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# images of containers often set it; without compiled files each process that a test starts takes twice as long
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo venv servers test unit check compiled formatted linted typed layered format bench peers proof soak \
        docs docs-links screenshots dist \
        storm celery-suite celery-soak celery-matrix dramatiq-suite dramatiq-soak slurm-soak \
        push-soak push-matrix django-matrix test-cluster mutants clean

help:  ## list these targets
	@echo "Segue: durable workflows of background tasks. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=$(PYTHON) (3.11 or newer), VENV=$(VENV), ARGS='further words for the command'"

demo: $(RUNTIME)  ## run a demo that works after one install (ARGS=--crash kills a worker half-way)
	@$(BIN)/segue demo $(ARGS)

venv: $(DEVELOP)  ## install Segue and everything that developers need into .venv

servers: $(DEVELOP)  ## find or install the servers that the tests start: PostgreSQL, Redis, RabbitMQ, Slurm, PgBouncer, nginx, Chromium
	@$(BIN)/python -m tests.servers

test: $(DEVELOP) servers  ## all checks and all tests, even on a fresh machine; what continuous integration runs
	@$(MAKE) --no-print-directory --jobs 2 compiled $(CHECKS)
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

unit: $(DEVELOP)  ## the fast tests, without servers and processes, in seconds
	@$(BIN)/python -m pytest -m "unit or house" $(ARGS)

check: $(DEVELOP)  ## formatting, lint, types and layers
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS)

# once beside the checks; or each process that shares the tests would do it, all of them at the same time
compiled:
	@echo "compiling the tests"; $(BIN)/python -m pytest --collect-only --quiet >/dev/null 2>&1 || true

formatted:
	$(BIN)/ruff format --check .

linted:
	$(BIN)/ruff check .

typed:
	$(BIN)/mypy

layered:
	$(BIN)/lint-imports

docs: $(DEVELOP)  ## build the website of the documentation in build/site/html; a warning is an error
	@$(BIN)/python -m website

docs-links: $(DEVELOP)  ## check the links of the documentation to other websites
	@$(BIN)/python -m website linkcheck

screenshots: $(DEVELOP)  ## draw the pictures in docs/ again, and take pictures of the web pages for `make docs` (build/pictures)
	@$(BIN)/python -m scripts.layers
	@$(BIN)/python -m scripts.screenshots
	@$(BIN)/python -m scripts.web_pictures

dist: $(DEVELOP)  ## build the sdist and the wheel in dist/, and check what is in them
	@rm -rf dist
	@$(BIN)/python -m build --quiet
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/python -m scripts.check_dist dist/*

format: $(DEVELOP)  ## format the code, and correct what ruff can correct
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

bench: $(DEVELOP)  ## measure Segue on this machine (ARGS as for `segue bench`)
	@$(BIN)/segue bench $(ARGS)

peers: $(RIVALS)/.installed  ## measure Segue beside Celery, huey, DBOS and procrastinate
	@$(RIVALS)/bin/python -m benchmarks.peers $(ARGS)

proof: servers  ## slow tests, 25 times as many examples, crashes at every point, mutants; about an hour
	@SEGUE_TEST_THOROUGH=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "property or crash or executors or proof" \
	    --hypothesis-profile=proof --timeout=1800 $(ARGS)
	@$(BIN)/python -m tests.property.mutants

soak: servers  ## property and crash tests with 250 times as many examples, cron for 68 years; hours
	@SEGUE_TEST_THOROUGH=1 $(BIN)/python -m pytest -m "property or crash" --hypothesis-profile=soak --timeout=3600 $(ARGS)
	@$(BIN)/python -m tests.crash.soak --minutes 3
	@$(BIN)/python -m tests.unit.timetable.full_oracle

storm: servers  ## hostile tasks and all kinds of disturbances, 20 minutes on each database
	@$(BIN)/python -m tests.crash.storm $(ARGS)
	@$(BIN)/python -m tests.crash.storm --postgres $(ARGS)

celery-suite: servers  ## Celery's own canvas tests, on plain Celery and with durable canvases; half an hour
	@$(BIN)/python -m tests.executors.celery.suite $(ARGS)

celery-soak: servers  ## canvases while workers, brokers and databases die (ARGS="--minutes 30")
	@$(BIN)/python -m tests.executors.celery.soak $(ARGS)
	@$(BIN)/python -m tests.executors.celery.soak --postgres $(ARGS)
	@$(BIN)/python -m tests.executors.celery.soak --rabbitmq $(ARGS)
	@$(BIN)/python -m tests.executors.celery.soak --postgres --rabbitmq $(ARGS)

dramatiq-suite: $(DEVELOP)  ## dramatiq-workflow's own tests, on itself and on Segue's module of its names
	@$(BIN)/python -m tests.executors.dramatiq.suite $(ARGS)

dramatiq-soak: servers  ## compositions of Dramatiq while workers, brokers and databases die (ARGS="--minutes 30")
	@$(BIN)/python -m tests.executors.dramatiq.soak $(ARGS)
	@$(BIN)/python -m tests.executors.dramatiq.soak --postgres $(ARGS)
	@$(BIN)/python -m tests.executors.dramatiq.soak --rabbitmq $(ARGS)
	@$(BIN)/python -m tests.executors.dramatiq.soak --postgres --rabbitmq $(ARGS)

slurm-soak: servers  ## steps on a real Slurm cluster while its parts die (ARGS="--minutes 10")
	@$(BIN)/python -m tests.executors.slurm.soak $(ARGS)
	@$(BIN)/python -m tests.executors.slurm.soak --postgres $(ARGS)

push-soak: servers  ## the same on the stand-ins of Kubernetes and AWS Batch
	@$(BIN)/python -m tests.executors.kubernetes.soak $(ARGS)
	@$(BIN)/python -m tests.executors.aws.soak $(ARGS)

push-matrix: servers  ## executors that are polled, with the slow ways in which their platforms fail
	@SEGUE_TEST_THOROUGH=1 $(BIN)/python -m pytest tests/executors/slurm tests/contract/test_pushing_deaths.py \
	    tests/contract/test_pushing_batches.py --timeout=900 $(ARGS)

test-cluster: $(DEVELOP)  ## the tests of the Kubernetes executor on a cluster of yours: KUBECONFIG=... [NAMESPACE=...]
	@test -f "$(KUBECONFIG)" || { echo "write: make test-cluster KUBECONFIG=/path/to/a/kubeconfig"; exit 2; }
	@TEST_CLUSTER_KUBECONFIG="$(abspath $(KUBECONFIG))" TEST_KUBERNETES_NAMESPACE="$(or $(NAMESPACE),default)" \
	    $(BIN)/python -m pytest --timeout=600 tests/executors/kubernetes/test_contract.py $(ARGS)

celery-matrix: servers  ## the tests of the Celery executor with each supported version of Celery
	@scripts/celery-matrix.sh $(PYTHON) $(ARGS)

django-matrix: servers  ## the tests of the app for Django with each version of Django; PYTHON=python3.12 for 6.0
	@scripts/django-matrix.sh $(PYTHON) $(ARGS)

mutants: servers  ## break the engine in known ways, and check that the tests notice
	@$(BIN)/python -m tests.property.mutants

clean:  ## remove environments, caches and build results
	rm -rf $(VENV) $(RIVALS) .venv-celery-* .venv-django-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml scripts/make-venv.sh
	@echo "Installing Segue into $(VENV) ..."
	@scripts/make-venv.sh $(PYTHON) $(VENV)
	@$(PIP) --editable ".[web]"
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
