# make quickstart   train and evaluate a model on the bundled MovieLens ratings
# make test         every test, and the examples in the docstrings
# make check        ruff, mypy and the architecture tests
# make bench        the benchmarks
# make clean        remove build outputs and caches; keeps .venv and nextrec_logs
#
# Each makes .venv when it is absent and installs what it needs, once: again when pyproject.toml or
# constraints.txt changes. ARGS goes to pytest or the script: make test ARGS="-k DeepFM".
# On Linux, PyPI's own torch brings several GB of CUDA libraries; for the CPU build use
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make quickstart

PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALLED := $(VENV)/.installed
DEVELOP := $(VENV)/.installed-dev

.PHONY: help quickstart test check bench clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

quickstart: $(INSTALLED)
	$(BIN)/python examples/quickstart.py $(ARGS)

# Sessions of doctests go to build/; tests have temporary folders of their own.
test: $(DEVELOP)
	NEXTREC_LOG_DIR=$(CURDIR)/build/nextrec_logs \
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --doctest-modules nextrec tests $(ARGS)

check: $(DEVELOP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/architecture

# Everything, or one: make bench BENCH=train. Each writes benchmarks/results/<name>.json.
BENCH ?= train quality loader processor stream events optimizers metrics
bench: $(DEVELOP)
	mkdir -p benchmarks/results
	for name in $(BENCH); do \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json $(ARGS) || exit 1; \
	done

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name .git -prune -o -name $(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

# torch comes first and pinned, so that nothing else can choose another build of it.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) --editable .
	touch $@

$(DEVELOP): $(INSTALLED)
	$(PIP) --editable '.[dev]'
	touch $@
