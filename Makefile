# `make demo` to see it run, `make test` to check it. Both make what they need in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What a shell happens to have set must not change what is checked.
CLEAN := env -u DATABASE_URL -u DEBUG -u SECRET_KEY -u SECRET_KEY_FALLBACKS -u ALLOWED_HOSTS -u DJANGO_SETTINGS_MODULE -u Q_WORKERS \
	-u Q_NOTIFY -u Q_CLUSTER_NAME -u SAGAS_LEASE -u PREPARE_STATEMENTS

.DEFAULT_GOAL := help
.PHONY: help demo test chaos fuzz lint types contracts migrations audit check bench bench-growth bench-http

help:
	@echo "make demo    run the demo: workers and a web server, until Ctrl-C"
	@echo "make test    run the tests on SQLite and on PostgreSQL (ARGS='-k name' is passed to pytest)"
	@echo "make chaos   have sagas come through faults (about five minutes; ARGS='--profile smoke --seed 7' for one)"
	@echo "make bench   measure it beside its peers (about seven minutes; ARGS='--only async,dbos --rounds 1')"
	@echo "make fuzz    ask the API for whatever its schema allows and forbids (about five minutes)"
	@echo "make audit   look for known holes in what is installed"
	@echo "make check   lint, types, import contracts, system checks, migrations"

# Stamps, so that requirements are installed when they change and not each time.

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "$(PYTHON) is older than Python 3.11, or missing. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/runs: requirements.txt $(VENV)/made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/checks: requirements-dev.txt $(VENV)/runs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

demo: $(VENV)/runs
	@exec $(BIN)/python manage.py demo $(ARGS)

test: $(VENV)/checks
	$(CLEAN) $(BIN)/python -m tests.lanes $(ARGS)

# Together with what checks: it brings the PostgreSQL that is measured where none is installed.
bench: $(VENV)/checks
	$(CLEAN) $(BIN)/python -m benchmarks $(ARGS)

bench-growth: $(VENV)/checks
	$(CLEAN) $(BIN)/python -m benchmarks growth $(ARGS)

bench-http: $(VENV)/checks
	$(CLEAN) $(BIN)/python -m benchmarks.http $(ARGS)

fuzz: $(VENV)/checks
	$(CLEAN) $(BIN)/python -m tests.postgres $(BIN)/python -m tests.fuzzing $(ARGS)

lint: $(VENV)/checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/checks
	$(CLEAN) $(BIN)/mypy

contracts: $(VENV)/checks
	$(BIN)/lint-imports

migrations: $(VENV)/checks
	$(CLEAN) $(BIN)/python manage.py check
	$(CLEAN) $(BIN)/python manage.py makemigrations --check --dry-run

# In an environment of its own: it is no part of what it looks at. Where neither it nor its feed is in reach, it says so.
audit: $(VENV)/checks
	@[ -x $(VENV)/audit/bin/pip-audit ] || { $(PYTHON) -m venv $(VENV)/audit && \
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 'pip-audit>=2.9,<3'; } > /dev/null 2>&1 || true
	@$(BIN)/python -m tests.audit $(VENV)/audit/bin/pip-audit \
	"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

check: lint types contracts migrations
