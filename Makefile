# make demo      see it work                    make test      run every test
# make check     lint, types, imports, docs     make docs      the pages, in docs/_build
# make chaos     the long fault tests           make bench     measure
# make man       manual pages                   make coverage  which lines the tests run
# make lowest    with the lowest versions allowed
# make constraints   pin what pyproject.toml wants, each file with its hash
# make clean     remove what make made
SHELL := /bin/sh
VENV ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& { echo $$p; break; }; done)
BIN := $(VENV)/bin
LOWEST := $(VENV)-lowest
# What was installed is remembered by content, not by time: a second call needs no network.
# The demonstration needs the program alone (.program), everything else also the tools of
# its developers (.installed).
WANTED = $$(cat pyproject.toml constraints*.txt | cksum)
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-script-location
# Nothing is installed whose hash is not known; what builds packages stands in a file of its
# own, for it is needed first.
PINNED = $(PIP) --require-hashes --no-deps --no-build-isolation
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate

.PHONY: demo test check docs man coverage lowest bench chaos install program constraints clean

demo: program
	@$(BIN)/icfqueue demo

# Most tests wait for something now and then, so that there are more at a time than cores; the
# longest come first. The fault tests come by themselves, for they count seconds.
PYTEST = $(BIN)/python -m pytest --dist loadgroup
test: install
	@$(PYTEST) -n 4 tests/acceptance tests/integration tests/unit $(ARGS)
	@$(PYTEST) -n 3 tests/chaos $(ARGS)

chaos: install
	@ICFQUEUE_CHAOS=long $(BIN)/python -m pytest tests/chaos -v $(ARGS)

# ruff holds the syntax of Python 3.11, mypy what each version's library has.
check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@for version in 3.11 3.12 3.13 3.14; do \
		echo "Types as of Python $$version:"; \
		$(BIN)/mypy --python-version $$version || exit 1; \
	done
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory docs

# Warnings are errors; a link to nowhere is one.
docs: install
	@$(BIN)/python -m sphinx -E -a -W --keep-going -n -q -b html docs docs/_build/html
	@echo "The pages are in docs/_build/html/index.html"

# Processes that tests start are counted, too; of the acceptance tests those that use most
# commands.
coverage: install
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -n 2 --dist loadgroup tests/unit tests/integration \
		tests/acceptance/test_commands.py tests/acceptance/test_project.py $(ARGS)
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage html -q
	@$(BIN)/coverage report --format=total

# What a package installs into share/man/man1; SOURCE_DATE_EPOCH makes it reproducible.
man: program
	@$(BIN)/python docs/_ext/manual_pages.py docs/_build/man
	@echo "The manual pages are in docs/_build/man; for one: man -l docs/_build/man/icfqueue.1"

lowest: install
	@$(BIN)/uv venv -q --clear --python $(BIN)/python $(LOWEST)
	@VIRTUAL_ENV=$(LOWEST) $(BIN)/uv pip install -q --resolution lowest-direct -e '.[test,report,metrics]'
	@PATH="$$PWD/$(LOWEST)/bin:$$PATH" $(LOWEST)/bin/python -m pytest -n 2 --dist loadgroup \
		tests/unit $(ARGS)

bench: install
	@$(BIN)/python -m benchmarks $(ARGS)

program:
	@if [ "$$(cat $(VENV)/.program 2>/dev/null)" != "$(WANTED)" ]; then \
		if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed" >&2; exit 1; fi; \
		echo "Installing into $(VENV) …"; \
		$(PYTHON) -m venv $(VENV) || { echo "python venv is needed (Debian: python3-venv)" >&2; exit 1; }; \
		$(PINNED) -r constraints-build.txt || exit 1; \
		$(PINNED) -r constraints.txt || exit 1; \
		$(PIP) --no-deps --no-build-isolation -e . || exit 1; \
		$(BIN)/python -m pip check > /dev/null || { $(BIN)/python -m pip check; exit 1; }; \
		echo "$(WANTED)" > $(VENV)/.program; \
	fi

install: program
	@if [ "$$(cat $(VENV)/.installed 2>/dev/null)" != "$(WANTED)" ]; then \
		echo "Installing the tools of developers into $(VENV) …"; \
		$(PINNED) -r constraints-dev.txt || exit 1; \
		$(BIN)/python -m pip check > /dev/null || { $(BIN)/python -m pip check; exit 1; }; \
		echo "$(WANTED)" > $(VENV)/.installed; \
	fi

# A version that is pinned already stays unless pyproject.toml forbids it; `rm` the files for
# the newest ones.
constraints: install
	@$(COMPILE) --group build -o constraints-build.txt
	@$(COMPILE) pyproject.toml -c constraints-build.txt -o constraints.txt
	@$(COMPILE) pyproject.toml --extra serve --extra metrics --extra report --extra flower -c constraints-build.txt -c constraints.txt -o constraints-image.txt
	@$(COMPILE) pyproject.toml --all-extras -c constraints-build.txt -c constraints.txt -o constraints-dev.txt

clean:
	rm -rf $(VENV) $(LOWEST) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis \
		.coverage .coverage.* htmlcov docs/_build benchmarks/inputs benchmarks/results-quick.json
	chmod -R u+w demo-store 2>/dev/null; rm -rf demo-store
