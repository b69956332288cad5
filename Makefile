# Two commands do everything: `make demo` and `make test`. Both can be run again at any time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

DEMO_CONFIG ?= configs/guided_paperdoll.py
DEMO_DIR ?= work_dirs/demo
DEMO_OPTIONS ?=
# A checkpoint every 20 seconds or so: whoever has to kill it hard loses no more.
DEMO_SAVES := default_hooks.checkpoint.interval=50
# A process a core, each with one thread; a file's tests stay together, with what they share.
PYTEST_OPTIONS ?= -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo test example site lint types clean help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.installed  ## train guided GFLA on drawn people, test it, and write pictures and metrics (about 10 minutes on two idle cores)
	$(BIN)/posegen train $(DEMO_CONFIG) --work-dir $(DEMO_DIR) --resume --cfg-options $(DEMO_SAVES) $(DEMO_OPTIONS) || \
		{ status=$$?; [ $$status != 75 ] || echo "Status 75: stopped, and saved; make demo goes on from there" >&2; exit $$status; }
	$(BIN)/posegen test $(DEMO_CONFIG) "$$(cat $(DEMO_DIR)/last_checkpoint)" --work-dir $(DEMO_DIR) \
		--save-images $(DEMO_DIR)/images $(if $(DEMO_OPTIONS),--cfg-options $(DEMO_OPTIONS))

test: lint $(VENV)/.installed-test  ## lint, tests; one of them checks types, another builds the site strictly
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_OPTIONS)

example: $(VENV)/.installed-dev  ## install the example package beside the project, train, test and uninstall it
	VENV=$(VENV) docs/examples/try_example.sh

site: $(VENV)/.installed-docs  ## the documentation as a site, strictly, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first: the rest is resolved against it.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e ".[dev]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(PIP) -e ".[dev,docs]"
	touch $@

# All extras, so that no test is left out for want of one; rtmlib asks for a second OpenCV, which overwrites the first.
$(VENV)/.installed-test: $(VENV)/.installed-dev
	$(PIP) -e ".[dev,docs,app,pose,rtmpose,hub]"
	$(PIP) --no-deps rtmlib
	touch $@

clean:  ## remove the environment and caches; runs in work_dirs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
