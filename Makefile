# Everything is made inside .venv; each step is done once and again only when what it depends on has changed.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PROJECT_FILES := pyproject.toml constraints.txt clients/python/pyproject.toml
DEMO_ARGS ?=
BENCH_ARGS ?=
SDK_ARGS ?=

.PHONY: help install demo test test-browser test-sdks test-tools test-web-types style types screenshots bench clean

help:
	@echo "make install   the service and its client into .venv"
	@echo "make demo      start the service, play a voice to it, watch the captions; then the page stays up"
	@echo "make test      all tests (installs what they need: redis-server, haproxy, chromium, libportaudio2)"
	@echo "make test-browser  the pages and the browser SDK alone, with what needs npm: types and the package"
	@echo "make screenshots   pictures of the pages into docs/images"
	@echo "make test-sdks SDKs of other services against this server (installs them); writes docs/compatibility.md"
	@echo "make style     ruff: lint and format"
	@echo "make types     mypy --strict"
	@echo "make bench     accuracy and capacity over the bundled clips; writes docs/performance.md (about 40 minutes;"
	@echo "               BENCH_ARGS='--manifest FILE.tsv' for another corpus)"
	@echo "make clean     remove .venv and caches"

install: $(STAMPS)/install

demo: $(STAMPS)/install
	@$(BIN)/python -m streaming.cli.demo $(DEMO_ARGS)

test: $(STAMPS)/dev test-tools
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(TEST_ARGS)

test-browser: $(STAMPS)/dev test-tools test-web-types
	$(BIN)/python -m pytest tests/browser $(TEST_ARGS)

test-web-types: $(STAMPS)/web
	$(VENV)/web/node_modules/.bin/tsc -p clients/web

screenshots: $(STAMPS)/dev test-tools
	SCREENSHOTS=docs/images/pages $(BIN)/python -m pytest tests/browser/test_states.py tests/browser/test_reading_along.py

test-sdks: $(STAMPS)/dev
	@command -v npm >/dev/null || $(call apt,npm)
	@test -f /usr/include/portaudio.h || $(call apt,portaudio19-dev)
	$(BIN)/python -m tests.sdks $(SDK_ARGS)

style: $(STAMPS)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMPS)/dev
	$(BIN)/mypy
	cd clients/python && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p tympan_client

bench: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.accuracy --manifest tests/data/manifest.tsv $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.performance --run $(BENCH_ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian and Ubuntu ship venv apart from Python.
$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tympan needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call apt,python3-venv)
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/install: $(STAMPS)/venv $(PROJECT_FILES)
	@echo "Installing Tympan (the first time this takes some minutes: torch is large) ..."
	$(PIP) -e clients/python -e .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/install
	$(PIP) -e clients/python -e '.[dev]'
	@touch $@

# What npm installs stays here too.
$(STAMPS)/web: $(STAMPS)/venv clients/web/package.json
	@command -v npm >/dev/null || $(call apt,npm)
	npm install --silent --no-audit --no-fund --no-save --prefix $(VENV)/web \
		typescript@$$(node -p 'require("./clients/web/package.json").devDependencies.typescript')
	@touch $@

test-tools:
	@command -v redis-server >/dev/null || $(call apt,redis-server)
	@PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null || $(call apt,haproxy)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| command -v google-chrome >/dev/null || $(call apt,chromium)
	@PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p | grep -q libportaudio || $(call apt,libportaudio2)

define apt
{ command -v apt-get >/dev/null || { echo "please install $(1)"; exit 1; }; \
	$(AS_ROOT) apt-get update -qq && $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; }
endef
