# `make run` and `make test` set up everything they need. The other targets are for contributors.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-browser test-clients bench packages lint types schema pictures lock secrets
.NOTPARALLEL:

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

run: ## serve the product in the foreground until Ctrl-C
	$(call install,requirements.txt)
	@exec $(BIN)/python manage.py serve

# Without bytecode files, each test process would compile all modules anew, and rewrite the assertions of all tests.
test test-browser test-clients: export PYTHONDONTWRITEBYTECODE :=

test: ## run the tests on all cores; ARGS="-k login" selects tests, ARGS="-n 0" uses one process
	$(call install,requirements-dev.txt)
	@exec $(BIN)/python -m pytest -n auto --dist loadgroup $(ARGS)

test-browser: ## test the admin panel in chromium; ARGS="-k keyboard" selects tests
	$(call install,requirements-dev.txt)
	$(call install,requirements-browser.txt)
	@exec $(BIN)/python -m pytest tests/browser $(ARGS)

test-clients: ## generate clients from the OpenAPI document and test them; needs java, node and npm
	$(call install,requirements-dev.txt)
	$(call install,requirements-clients.txt)
	@exec $(BIN)/python -m pytest tests/clients $(ARGS)

bench: ## measure everything and add it to bench/RESULTS.md; ARGS="--sections profile,operations" only prints
	$(call install,requirements-dev.txt)
	@exec $(BIN)/python -m bench $(ARGS)

packages: ## install the Python packages of all tests
	$(call install,requirements-dev.txt)
	$(call install,requirements-browser.txt)
	$(call install,requirements-clients.txt)

lint: ## check style and format
	$(call install,requirements-dev.txt)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: ## check the types
	$(call install,requirements-dev.txt)
	@$(BIN)/mypy .

schema: ## update docs/openapi.yaml
	$(call install,requirements-dev.txt)
	@mkdir -p docs
	@ENV_FILE=/dev/null $(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

pictures: ## retake the screenshots of docs/admin/ and docs/mails/; needs chromium
	$(call install,requirements-dev.txt)
	$(call install,requirements-browser.txt)
	@$(BIN)/python -m pytest tests/browser/pictures.py
	@$(BIN)/uv run --quiet --script docs/mails/screenshots.py

lock: ## update the requirements files from pyproject.toml; ARGS=--upgrade takes the newest versions
	$(call install,requirements-dev.txt)
	@$(LOCK) pyproject.toml --output-file requirements.txt
	@$(LOCK) pyproject.toml --group dev --constraints requirements.txt --output-file requirements-dev.txt
	@$(LOCK) --group browser --constraints requirements-dev.txt --output-file requirements-browser.txt
	@$(LOCK) --group clients --constraints requirements-dev.txt --output-file requirements-clients.txt

secrets: ## generate the missing files in secrets/ that docker-compose.yml mounts
	@$(SECRETS)

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header $(ARGS)

# Creates the virtual environment and installs a requirements file into it. Skips both if the same file was already
# installed with the same Python. pip would compile one file after the other; compileall uses all cores.
define install
@stamp="$(VENV)/.$(1).installed"; \
fingerprint() { $(BIN)/python -c 'import sys; print(sys.version)' && cat $(1); }; \
if [ -x $(BIN)/python ] && [ "$$(fingerprint 2>/dev/null | cksum)" = "$$(cat $$stamp 2>/dev/null)" ]; then exit 0; fi; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
  { echo "Python 3.11 or newer is needed: install it, or name it with make $@ PYTHON=/path/to/python3" >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
  { echo "Python's venv module is missing: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }; \
echo "Installing $(1) into $(VENV); this takes a minute and happens once." >&2; \
$(PYTHON) -m venv $(VENV) && \
$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $(1) && \
{ $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true; } && \
fingerprint | cksum > $$stamp
endef

# Writes the secrets to a folder that only its owner may enter. The files are readable by all, because the containers
# read them under other user ids.
define SECRETS
umask 022; mkdir -p secrets; chmod 700 secrets; \
made() { [ -s secrets/$$1 ] || printf '%s' "$$2" > secrets/$$1; }; \
word() { $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(24))'; }; \
made secret_key "$$(word)$$(word)"; made admin_password "$$(word)"; made postgres_password "$$(word)"; made rabbitmq_password "$$(word)"; \
made database_url "postgres://usermanager:$$(cat secrets/postgres_password)@postgres:5432/usermanager"; \
made celery_broker_url "amqp://usermanager:$$(cat secrets/rabbitmq_password)@rabbitmq:5672//"; \
made rabbitmq.conf "$$(printf 'default_user = usermanager\ndefault_pass = %s\n' "$$(cat secrets/rabbitmq_password)")"
endef
