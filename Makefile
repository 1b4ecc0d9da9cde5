.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are cores: a third of the time the tests wait.
PYTEST := $(BIN)/python -m pytest -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: help demo test soak bench mutants check format reference docs lock clean

help:  ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "reconcile needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed  ## Run the main job against a local look-alike of CometChat
	$(BIN)/reconcile demo

test: $(VENV)/.installed  ## Run the whole test suite
	$(PYTEST)

soak: $(VENV)/.installed  ## The tests with many times the generated cases, from a new seed; takes hours (TESTS=... some)
	TEST_SOAK=1 $(PYTEST) -o timeout=7200 $(TESTS)

mutants: $(VENV)/.installed  ## Whether the tests notice mistakes in what decides; takes half an hour
	rm -rf mutants
	nice $(BIN)/mutmut run --max-children 1
	$(BIN)/mutmut results --all true | awk '{sub(/\.x.*/, "", $$1); all[$$1]++; seen[$$1] += $$2 ~ /killed|timeout/} \
		END {for (name in all) printf "%s: %d of %d noticed, %.1f %%\n", name, seen[name], all[name], 100 * seen[name] / all[name]}'

bench: $(VENV)/.installed  ## Measure start-up, plan, sources, page, sandbox, transport, rate budget, and what others do; takes an hour and a half, on a machine that has nothing else to do
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.plan
	$(BIN)/python -m benchmarks.profile
	$(BIN)/python -m benchmarks.sources
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.others
	$(BIN)/python benchmarks/sandbox.py
	$(BIN)/python -m benchmarks.transport
	$(BIN)/python -m benchmarks.budget

check: $(VENV)/.installed  ## Everything that CI checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

format: $(VENV)/.installed  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: $(VENV)/.installed  ## Write the page of all commands anew, after one has changed
	$(BIN)/python -m tests.docs.reference

docs: $(VENV)/.installed  ## Build the site of the documentation into site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	$(BIN)/zensical build --clean --strict
	mkdir -p site/reconcile/report && cp reconcile/report/schema.json site/reconcile/report/ && cp -R samples site/
	find site -name index.html -exec sed -E -i.bak 's,href="\.\./\.\./(samples|reconcile)/,href="../\1/,g' {} + && find site -name '*.bak' -delete

lock: $(VENV)/.installed  ## Pin the dependencies anew, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --exclude-newer "7 days" pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --exclude-newer "7 days" --extra dev pyproject.toml -o requirements-dev.lock
	echo zensical | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --exclude-newer "7 days" - -o requirements-docs.lock

clean:  ## Remove what was installed and generated
	rm -rf $(VENV) site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache reconcile-demo mutants dist build
