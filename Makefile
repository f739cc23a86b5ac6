# Both commands of the README: each does all the set-up it needs, once.
PYTHON ?= python3.11
VENV ?= .venv
READY := $(VENV)/.ready

.PHONY: quickstart test test-slow test-gpu chromium check docs

quickstart: $(READY)
	$(VENV)/bin/diva quickstart

# two processes with a thread each: tiny models gain nothing from more threads
test: $(READY) chromium
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -n 2 --dist loadfile

test-slow: $(READY)
	$(VENV)/bin/pytest -m slow

test-gpu: $(READY)
	@if $(VENV)/bin/python -c "import torch; raise SystemExit(not torch.cuda.is_available())"; \
	  then $(VENV)/bin/pytest -m gpu tests/gpu; else echo "no GPU can be used here: tests/gpu is skipped"; fi

# the report's page is tested in a real browser; without one and without root those tests are skipped, but not in CI
chromium:
	@command -v chromium > /dev/null || { [ "$$(id -u)" != 0 ] && echo "no chromium, no root: browser tests are skipped"; } \
	  || (apt-get update -qq && apt-get install -qq -y chromium > /dev/null) \
	  || { echo "chromium is missing and could not be installed; install it, then run make again"; exit 1; }

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	mkdir -p build/packages
	ln -sfn ../../benchmarks build/packages/diva_benchmarks
	ln -sfn ../../downstream build/packages/diva_downstream
	$(VENV)/bin/mypy

# the pages of docs/ as a site, in build/site; a link that leads nowhere fails
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

$(READY): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet uv
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --constraint constraints.txt --editable '.[dev,llava,segmentation]'
	touch $@
