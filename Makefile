# make demo    see it work            make test    run every test
# make check   lint, types, imports   make bench   measure
# make chaos   the long fault tests   make clean   remove what make made
SHELL := /bin/sh
VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& { echo $$p; break; }; done)
BIN := $(VENV)/bin
# What was installed is remembered by content, not by time: a second call needs no network.
WANTED = $$(cat pyproject.toml constraints.txt | cksum)

.PHONY: demo test check bench chaos install clean

demo: install
	@$(BIN)/icfqueue demo

# The fault tests count seconds and want the machine for themselves.
test: install
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/integration tests/acceptance $(ARGS)
	@$(BIN)/python -m pytest tests/chaos $(ARGS)

chaos: install
	@ICFQUEUE_CHAOS=long $(BIN)/python -m pytest tests/chaos -v $(ARGS)

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: install
	@$(BIN)/python -m benchmarks $(ARGS)

install:
	@if [ "$$(cat $(VENV)/.installed 2>/dev/null)" != "$(WANTED)" ]; then \
		if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed" >&2; exit 1; fi; \
		echo "Installing into $(VENV) …"; \
		$(PYTHON) -m venv $(VENV) || { echo "python venv is needed (Debian: python3-venv)" >&2; exit 1; }; \
		PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check \
			--no-warn-script-location -e '.[test,check]' || exit 1; \
		echo "$(WANTED)" > $(VENV)/.installed; \
	fi

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis \
		benchmarks/inputs benchmarks/results-quick.json
	chmod -R u+w demo-store 2>/dev/null; rm -rf demo-store
