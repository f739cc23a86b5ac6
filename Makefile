# Both commands of the README: each does all the set-up it needs, once.
PYTHON ?= python3.11
VENV ?= .venv
READY := $(VENV)/.ready

.PHONY: quickstart test test-slow check

quickstart: $(READY)
	$(VENV)/bin/diva quickstart

test: $(READY)
	$(VENV)/bin/pytest

test-slow: $(READY)
	$(VENV)/bin/pytest -m slow

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet uv
	$(VENV)/bin/uv pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
