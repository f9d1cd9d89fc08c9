# Everything runs in .venv, which `make` builds from any Python >= 3.11.
#   make demo    the main job, in this terminal          make test   all checks and tests
#   make lab     JupyterLab on the first tutorial        make help   the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/installed
# Some images forbid Python to keep compiled files: then each process of the tests, and each that they start, compiles
# the package and the tests again.
export PYTHONDONTWRITEBYTECODE :=
# These tests cover every line and branch of the protocols; all others run a third faster without coverage.
PROTOCOLS := tests/tunnel/protocols
# The number of test processes: two for each core, since tests mostly wait, and at most 4, since each has a sandbox of its
# own, of some 300 MiB, and collects all tests, which takes 5 seconds.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(2 * (os.cpu_count() or 1), 4))')
IN_PARALLEL := -n $(if $(TESTBED),0,$(WORKERS)) --dist loadfile --no-loadscope-reorder
PYTEST := $(BIN)/python -m pytest $(IN_PARALLEL)
# The front end is built when one of its sources is newer than the built files.
FRONT := $(VENV)/front-end
FRONT_SOURCES := $(shell find labextension -type f -not -path '*/node_modules/*' -not -path '*/lib/*' -not -path '*/.yarn/*')
LESSONS := $(if $(filter fr%,$(LC_ALL)$(LC_MESSAGES)$(LANG)),fr,en)
FIRST := $(if $(filter fr,$(LESSONS)),1-premiers-pas,1-first-steps)
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all quick lab check unit protocols wide fuzz load dependencies notebooks notebooks-en tutorials docs wheel package screenshots benchmark benchmark-query benchmark-panel benchmark-clicks benchmark-keys benchmark-lake spill soak floor gibibyte adversary replacements cluster audit format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(READY): pyproject.toml tools/environment.py tools/constraints.txt
	@$(PYTHON) tools/environment.py $(VENV)

$(FRONT): $(READY) $(FRONT_SOURCES)
	@$(BIN)/python tools/frontend.py build
	@touch $@

demo: $(READY)  ## the main job in this terminal: a colleague's table in a DataFrame
	@$(BIN)/python -m sspcloud_magics.demo

lab: $(FRONT)  ## JupyterLab on the first tutorial, with the sandbox running
	@$(BIN)/sspcloud-sandbox start
	@trap '$(BIN)/sspcloud-sandbox stop' EXIT; trap : INT; \
	  PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab $(AS_ROOT) --ServerApp.root_dir=notebooks/$(LESSONS) \
	  --LabApp.default_url=/lab/tree/$(FIRST).ipynb $(LAB_ARGS)

# The tests wait much of the time, so all other checks run next to them.
test: $(FRONT)  ## all checks and tests (17 minutes on two cores)
	@rm -f build/not-run
	@$(MAKE) --no-print-directory --keep-going --jobs 2 unit check protocols docs notebooks wheel
	@if [ -s build/not-run ]; then cat build/not-run; fi

test-all: $(FRONT)  ## make test, wider matrices, long fuzzing, the lowest and the newest dependencies, the tests next to a random load (an hour)
	@$(MAKE) --no-print-directory --keep-going test wide notebooks-en fuzz dependencies load
	@echo "make test-all: everything passed on $$(uname -sm), $$(git rev-parse --short HEAD)"

quick: $(READY)  ## lint, layers, and the tests without a sandbox, a database, a helper or a browser (less than a minute)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(PYTEST) -n logical -m "not (slow or browser or servers or gibibyte or adversary or wide)"

check: $(FRONT)  ## formatting, lint, types, layers, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.words
	$(BIN)/python tools/french_typography.py
	$(BIN)/python -m tools.catalogue check
	$(BIN)/python -m tools.panel_types check
	$(BIN)/python tools/frontend.py check
	$(BIN)/bandit --quiet --recursive --severity-level medium --skip B108,B608 sspcloud_magics

unit: $(FRONT)  ## the tests, on the sandbox; TESTBED=FILE.json for another cluster
	CHROMIUM="$$($(BIN)/python tools/browser.py)" && export CHROMIUM && \
	  $(PYTEST) $(if $(TESTBED),--testbed $(TESTBED) -m "not (gibibyte or adversary)") $(or $(PYTEST_ARGS),--ignore=$(PROTOCOLS))

protocols: $(READY)  ## the tests of the tunnel's protocols, which must cover every line and branch of them
	$(PYTEST) -n 0 $(PROTOCOLS) --cov

wide: $(FRONT)  ## cases of the tests with more protocols, themes, languages, versions and commands
	CHROMIUM="$$($(BIN)/python tools/browser.py)" && export CHROMIUM && \
	  $(PYTEST) -m "wide and not (gibibyte or adversary)"

fuzz: $(READY)  ## the property tests with fifty times as many examples
	$(PYTEST) --hypothesis-profile=long --timeout=1200 -m "hypothesis and not adversary"

dependencies: $(READY)  ## the tests without a browser, with the lowest and with the newest dependencies
	$(BIN)/python tools/dependencies.py both $(IN_PARALLEL)

load: $(FRONT)  ## the tests next to a load that comes and goes
	$(BIN)/python tools/load.py $(MAKE) --no-print-directory unit

# The outputs of a tutorial are in the language of its prose; `make test-all` runs those in English.
NBVAL := -m pytest -p nbval.plugin --nbval --nbval-cell-timeout 60 --nbval-sanitize-with notebooks/sanitize.cfg -p no:cacheprovider -p no:randomly
notebooks: $(FRONT)  ## run the tutorials in French and compare every output
	$(BIN)/python tools/notebooks.py check
	PATH="$(CURDIR)/$(BIN):$$PATH" SSPCLOUD_LANGUAGE=fr $(BIN)/python $(NBVAL) notebooks/fr

notebooks-en: $(FRONT)  ## the same in English
	PATH="$(CURDIR)/$(BIN):$$PATH" SSPCLOUD_LANGUAGE=en $(BIN)/python $(NBVAL) notebooks/en

tutorials: $(FRONT)  ## rebuild the tutorials from notebooks/source, in both languages
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/notebooks.py build

wheel: $(FRONT)  ## check that users need no node: sdist, wheel, and an empty environment, all without it
	@$(BIN)/python tools/wheel.py

docs: $(FRONT)  ## the documentation's site into build/site, in English and in French, every link checked
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto -d build/doctrees docs build/site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --jobs auto -d build/doctrees-fr -D language=fr docs build/site/fr
	$(BIN)/python -m tools.docs_translation check
	$(BIN)/python tools/check_links.py build/site

package: $(FRONT)  ## sdist and wheel into dist/, checked, installed into empty environments and used
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint tools/constraints.txt twine check-wheel-contents
	$(BIN)/python tools/package.py

screenshots: $(FRONT)  ## retake the pictures of README and docs
	CHROMIUM="$$($(BIN)/python tools/browser.py)" $(BIN)/python tools/screenshots.py

benchmark: $(READY)  ## the tunnel next to kubectl and others (three quarters of an hour): BENCHMARK_ARGS, e.g. "--rounds 3 --scale 0.1"
	@$(BIN)/python benchmarks/tunnel.py $(if $(TESTBED),--testbed $(TESTBED)) $(BENCHMARK_ARGS)

benchmark-query: $(READY)  ## queries into DataFrames next to kubectl + read_sql, ADBC, ConnectorX, JupySQL
	@$(BIN)/python -m pip install --quiet --constraint tools/constraints.txt --editable '.[benchmark]'
	@$(BIN)/python benchmarks/query.py $(if $(TESTBED),--testbed $(TESTBED)) $(BENCHMARK_ARGS)

benchmark-panel: $(FRONT)  ## the panel's frames with 500 pods and 50 forwards
	@CHROMIUM="$$($(BIN)/python tools/browser.py)" $(BIN)/python benchmarks/panel.py

benchmark-clicks: $(FRONT)  ## clicks in the side panel while a cell computes: the time until the result is drawn
	@CHROMIUM="$$($(BIN)/python tools/browser.py)" $(BIN)/python benchmarks/clicks.py

benchmark-keys: $(FRONT)  ## the frames while SQL is typed into a cell of 1,000 lines, in JupyterLab and Notebook 7
	@CHROMIUM="$$($(BIN)/python tools/browser.py)" $(BIN)/python benchmarks/keys.py

benchmark-lake: $(READY)  ## DuckDB, S3, GeoPandas and Dask next to their peers (20 minutes): BENCHMARK_ARGS, e.g. "--rows 1000000"
	@$(BIN)/python -W ignore benchmarks/lake.py $(BENCHMARK_ARGS)

spill: $(READY)  ## a join of 100 million generated rows in DuckDB, in a process of 2 GiB
	@$(BIN)/python benchmarks/spill.py

soak: $(READY)  ## ten minutes of traffic through a forward, with random faults: nothing lost, nothing leaked
	$(BIN)/python benchmarks/soak.py --minutes $(or $(MINUTES),10) $(if $(TESTBED),--testbed $(TESTBED))

floor: $(READY)  ## the cost that no client in Python can avoid, next to kubectl's whole cost
	$(BIN)/python benchmarks/floor.py $(if $(TESTBED),--testbed $(TESTBED)) $(BENCHMARK_ARGS)

gibibyte: $(READY)  ## 1 GiB each way through a forward, byte for byte, on good and bad networks, by each protocol
	$(BIN)/python -m pytest -m gibibyte -n 0 -s --no-cov $(if $(TESTBED),--testbed $(TESTBED)) tests/integration/tunnel

adversary: $(READY)  ## every attack on a share alone, with every command, on each version of PostgreSQL
	$(BIN)/python -m pytest -m adversary -n $(WORKERS) --no-cov tests/adversary

replacements: $(READY)  ## a minute of pgbench through a forward whose pod is replaced twice
	$(BIN)/python benchmarks/replacements.py --seconds $(or $(SECONDS),60)

cluster: $(READY)  ## a real Kubernetes of one node on this machine, with a testbed for TESTBED=, until Ctrl-C (root, Debian)
	@$(BIN)/python -m tools.cluster

audit: $(READY)  ## known vulnerabilities of installed packages (reads advisories over the network)
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --progress-spinner off --skip-editable
	$(BIN)/python tools/frontend.py audit

format: $(FRONT)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python tools/frontend.py format

clean:  ## remove the environment and all built files
	rm -rf labextension/node_modules labextension/lib sspcloud_magics/labextension sspcloud_magics/widgets/static
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis
