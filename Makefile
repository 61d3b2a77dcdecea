# make compare   train seven families on MNIST and print the honest table (about 12 minutes on two cores)
# make test      the test suite (under 5 minutes)
# Needs Python 3.11 or newer, make and git; the first call prepares .venv, later ones start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUDGET ?= 60s
OUT ?= report
MODELS ?= ppca,rbm,made,pixelcnn,vae,gan,diffusion

.PHONY: setup compare test test-slow lint bench docs clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "genus needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

compare: $(READY)
	$(BIN)/genus compare --data mnist --models $(MODELS) --budget $(BUDGET) --out $(OUT)

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

test-slow: $(READY)
	$(BIN)/pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/rbm.py --temperatures 500

docs: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) report runs
