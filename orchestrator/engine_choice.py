"""Which engine answers: transformers anywhere, vLLM where it is installed and where it is faster."""

import importlib.util
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from .errors import WarmthError
from .settings import EngineName
from .settings_subjects import Precision

VLLM_IS_MISSING = (
    "resources.engine: vllm is not installed here; `make setup-vllm` installs it for processors, "
    "`pip install -r requirements/gpu.txt` for GPUs; or take engine: transformers"
)
VLLM_PACKS_NOTHING = (
    "resources.engine: vllm has no weights as bitsandbytes packs them; take engine: transformers, or leave out the "
    "models' quantization"
)
TRANSFORMERS_PARTS_NOTHING = (
    "resources.gpus_per_replica: the transformers engine holds a model on one GPU; take engine: vllm, or 1 at most"
)


def installed() -> bool:
    """Whether vLLM is there."""
    return importlib.util.find_spec("vllm") is not None


def problem(asked: EngineName | None, precisions: Iterable[Precision]) -> str | None:
    """Why the engine that is asked for cannot serve bases held like this, and the cure."""
    if asked != "vllm":
        return None
    if not installed():
        return VLLM_IS_MISSING
    return VLLM_PACKS_NOTHING if _packed(precisions) else None


def chosen(asked: EngineName | None, gpus: float, precisions: Iterable[Precision]) -> EngineName:
    """The engine that was asked for; by default vLLM where it is installed, there is a GPU and nothing is quantised.

    Raises WarmthError where it cannot serve.
    """
    held = list(precisions)
    if wrong := problem(asked, held):
        raise WarmthError(wrong)
    taken: EngineName = asked or ("vllm" if gpus and installed() and not _packed(held) else "transformers")
    if taken == "transformers" and gpus > 1:
        raise WarmthError(TRANSFORMERS_PARTS_NOTHING)
    return taken


def named(engine: EngineName) -> str:
    """An engine and its version. vLLM's build for processors is a package of another name."""
    try:
        return f"{engine} {version(engine)}"
    except PackageNotFoundError:
        return f"{engine} {version(f'{engine}-cpu')}"


def _packed(precisions: Iterable[Precision]) -> bool:
    return any(precision.quantization for precision in precisions)
