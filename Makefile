# make run    install what is needed into .venv and optimise a real task
# make llm    a small task with a language model (MODEL=… BASE_URL=…), and which of its calls worked
# make test   the test suite, torch included      make slow    tests that take minutes
#             ARGS="-k name" chooses tests, WORKERS=8 runs that many at once, WORKERS=0 one by one (for --pdb)
# make check  ruff, mypy, generated pages         make fix     let ruff put right what it can
# make bench  figures, as ratios              make gpu     what only a machine with an NVIDIA card can show

PYTHON ?= python3
# An environment that is active is used as it is; else .venv is made.
VENV ?= $(or $(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
INSTALLED := pyproject.toml constraints.txt
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt
TASK ?= ames
ARGS ?=
# The endpoint of `make llm`; what is not named here comes from gome.toml and the environment.
ENDPOINT = $(if $(MODEL),--model "$(MODEL)") $(if $(BASE_URL),--base-url "$(BASE_URL)")
LLM_RUN := llm-$(shell date +%m%d-%H%M%S)
# Processes that share the tests. Tests wait for servers and programs of their own a good third of the time, so one more
# than two cores pays.
WORKERS ?= 3

.PHONY: run llm test slow check fix bench gpu clean
.DEFAULT_GOAL := run

run: $(VENV)/.gome-run
	@$(BIN)/gome run $(TASK) $(ARGS)

llm: $(VENV)/.gome-run
	-@$(BIN)/gome doctor $(ENDPOINT)
	@$(BIN)/gome run attrition --profile gome --steps 3 --traces 1 --run $(LLM_RUN) $(ENDPOINT) $(ARGS)
	@$(BIN)/gome show $(LLM_RUN) --calls

test: $(VENV)/.gome-test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

slow: $(VENV)/.gome-test
	@$(BIN)/python -m pytest -m slow $(ARGS)

bench: $(VENV)/.gome-test
	@$(BIN)/python tests/bench/log_bench.py
	@$(BIN)/python -m pytest tests/bench -m bench -s $(ARGS)

gpu: $(VENV)/.gome-test
	@$(BIN)/python -m pytest -m gpu tests/plugins/runner
	@$(BIN)/python tests/gpu/check.py $(ARGS)

check: $(VENV)/.gome-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy -p gome.events -p gome.kernel -p gome.plugins
	@$(BIN)/python -m gome.kernel.catalogue --check

fix: $(VENV)/.gome-test
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python -m gome.kernel.catalogue

clean:
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("gome needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": name another with PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.gome-run: $(INSTALLED) | $(BIN)/python
	@echo "installing gome into $(VENV) …" >&2
	@$(PIP) -e ".[suite]"
	@touch $@

$(VENV)/.gome-test: $(INSTALLED) | $(BIN)/python
	@echo "installing gome with torch and test tools into $(VENV) …" >&2
	@$(PIP) -e ".[suite,test,torch]"
	@touch $@ $(VENV)/.gome-run
