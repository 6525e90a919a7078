# The project and its locked environment, for KubeRay (configs/clusters/kuberay-cluster.yaml) and for `docker:` in a cluster file.
# Label: validated only. Its steps are the Makefile's; there was no Docker to build it with.
#
#   make image IMAGE=registry.example.com/warmth
#
# CUDA comes with the wheels of torch and vLLM; the machine brings NVIDIA's driver and its container toolkit.
FROM python:3.11-slim-bookworm

# gcc for what Triton compiles at run time; rsync, SSH and wget for `ray up` and for KubeRay's probes
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends gcc g++ libc6-dev make openssh-client rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 warmth
USER warmth
WORKDIR /home/warmth/warmth

# The environment first: it changes less often than the code
COPY --chown=warmth:warmth Makefile pyproject.toml README.md LICENSE ./
COPY --chown=warmth:warmth requirements ./requirements
RUN mkdir orchestrator tasks && make setup-gpu

COPY --chown=warmth:warmth . .
ENV PATH=/home/warmth/warmth/.venv-gpu/bin:$PATH \
    HF_HOME=/home/warmth/huggingface \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    RAY_ENABLE_UV_RUN_RUNTIME_ENV=0

# The head's version of Ray, which a worker's must be: a different one stops the build
ARG RAY_VERSION=2.60.0
RUN test "$(python -c 'import ray; print(ray.__version__)')" = "$RAY_VERSION" && warmth --version
LABEL org.opencontainers.image.source="warmth" ray.version="$RAY_VERSION"
