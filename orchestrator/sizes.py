"""How large a model is, and what it takes to train and to serve it: simple formulas, in GB and billions. Pure.

They are fitted to what LoRA runs on one H100 were seen to take (3B 8 GB, 8B 18 GB, 32B 63.5 GB; batch 1, recomputed
activations, 1,024 tokens) and to the shapes of Llama and Qwen models. Within some 20 % for models built like these.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from .config import Study
from .settings_serving import ALL
from .settings_subjects import Model, Precision
from .settings_training import TrainingSettings

USABLE = 0.9
"""The share of a GPU's memory that is left beside CUDA's own and what cannot be packed."""

SHARDING = 3.0
"""GB that every further GPU takes when a model is spread over several: layers gathered, and buffers to send them."""

PROMPT = 100
"""Tokens of a prompt, for the memory that its keys and values take."""

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.1, "nf4": 0.6}
"""Bytes of a weight; quantised ones with their scales, and with the embeddings, which are not quantised."""


def parameters(model: Model) -> float | None:
    """Billions of parameters: as set, from the folder's config.json, or from the name (`8b`); None if nothing says."""
    if model.parameters:
        return model.parameters
    if model.lab:
        return 0.001
    return _from_config(Path(str(model.path)) / "config.json") or _from_name(f"{model.path} {model.name}")


def _from_config(file: Path) -> float | None:
    if not file.is_file():
        return None
    shape: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    try:
        hidden, heads = shape["hidden_size"], shape["num_attention_heads"]
        each = shape.get("head_dim") or hidden // heads
        attention = 2 * hidden * each * (heads + shape.get("num_key_value_heads", heads))
        layers = shape["num_hidden_layers"] * (attention + 3 * hidden * shape["intermediate_size"])
        embedded = shape["vocab_size"] * hidden * (1 if shape.get("tie_word_embeddings") else 2)
    except (KeyError, TypeError):
        return None
    return float(layers + embedded) / 1e9


def _from_name(name: str) -> float | None:
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z])", name.lower())
    return float(found[1]) if found else None


def weights_gb(billions: float, precision: Precision) -> float:
    return billions * BYTES[precision.quantization or precision.dtype]


def adapter_gb(billions: float, rank: int) -> float:
    """A LoRA on all seven projections, in float32: 21 million weights for rank 8 on 8B."""
    return 4 * 0.0026 * rank * (billions / 8) ** 0.75


def to_train_gb(billions: float, precision: Precision, settings: TrainingSettings) -> float:
    """Weights; the LoRA with its gradients and Adam's two moments; activations of one conversation, recomputed."""
    activations = (1.5 + 0.03 * billions) * settings.max_length / 1024
    return weights_gb(billions, precision) + 4 * adapter_gb(billions, settings.rank) + activations


def to_serve_gb(billions: float, precision: Precision, rows: int, tokens: int) -> float:
    """Weights, a GB to work in, and the keys and values of so many rows of so many tokens (131 kB a token for 8B)."""
    kept = 0.000131 * (billions / 8) ** 0.42 * BYTES[precision.dtype] / 2
    return weights_gb(billions, precision) + 1 + rows * tokens * kept


def gpus_for(gb: float, memory: float) -> int:
    """How many GPUs of so much memory hold so much; 0 if no number does."""
    room = USABLE * memory
    return next((gpus for gpus in range(1, 65) if gb + SHARDING * (gpus - 1) <= room * gpus), 0)


BY_WEIGHTS = ((1, 0.25), (8, 0.5), (48, 1), (90, 2))
"""GB of weights up to which a trial has so many GPUs: in 16 bits, parts of one up to 4B, one for 8B, two for 32B."""

LARGEST = 4
"""GPUs of a trial whose base is larger than all of these: 70B in 16 bits."""


def gpus_per_trial(study: Study, model: Model, there: float | None = None, memory_gb: float | None = None) -> float:
    """The GPUs that a trial of this model takes: as `resources.gpus_per_trial` says, or by the size of its base.

    Below 1 is a part of one, which other trials share. By size it is what trains at a good pace, but no more than
    are `there`, of `memory_gb` each (both as described if not given), where fewer hold the model as well. A base of
    unknown size has one.
    """
    by_model = study.resources.gpus_per_trial
    said = by_model.get(model.name, by_model.get(ALL))
    billions = parameters(model)
    if said or billions is None:
        return said or 1
    train, each = _needs(study, model, billions)[0], memory_gb or study.resources.gpu_memory_gb
    least = gpus_for(train, each) or LARGEST
    there = study.resources.gpus if there is None else there
    good = _good(weights_gb(billions, model.precision), train, each, least)
    return max(least, int(there)) if there and good > there >= 1 else good


def _good(weights: float, train: float, each: float, least: int) -> float:
    """What trains at a good pace: never a part of a GPU that is too small, and a power of two of whole ones."""
    wanted = next((gpus for gb, gpus in BY_WEIGHTS if weights <= gb), LARGEST)
    if wanted < 1 and train <= wanted * USABLE * each:
        return wanted
    return max(int(wanted), 1 << (least - 1).bit_length())


def memory(study: Study) -> dict[str, dict[str, float | None]]:
    """Per model: GB to train and to serve it, and how many of the described GPUs that takes; None if unknown."""
    return {model.name: _memory(study, model) for model in study.models if model.path}


def _memory(study: Study, model: Model) -> dict[str, float | None]:
    billions = parameters(model)
    if billions is None:
        return dict.fromkeys(("train_gb", "serve_gb", "gpus_to_train", "gpus_to_serve"))
    train, serve = _needs(study, model, billions)
    each = study.resources.gpu_memory_gb
    return {
        "train_gb": round(train, 1),
        "serve_gb": round(serve, 1),
        "gpus_to_train": gpus_for(train, each) or None,
        "gpus_to_serve": gpus_for(serve, each) or None,
    }


def _needs(study: Study, model: Model, billions: float) -> tuple[float, float]:
    _, rank = study.training.search.span("rank", study.training.rank)
    widest = study.training.model_copy(update={"rank": rank})
    tuned = any(persona.trained and study.gets(model, persona) for persona in study.personas)
    train = to_train_gb(billions, model.precision, widest) if tuned else 0
    return train, to_serve_gb(billions, model.precision, study.resources.rows, PROMPT + study.evaluation.max_tokens)


class Bundle(NamedTuple):
    """What a trial or a replica takes, and the setting that says how many GPUs that is."""

    act: str
    gb: float
    gpus: float
    setting: str


def does_not_fit(study: Study) -> list[str]:
    """What the described GPUs cannot hold, a sentence each; nothing where no GPUs are described."""
    gpus, each = study.resources.gpus, study.resources.gpu_memory_gb
    found = (too_large(study, model, each, gpus) for model in study.models if model.path) if gpus else ()
    return [line for line in found if line]


def too_large(study: Study, model: Model, memory_gb: float, there: int) -> str | None:
    """What so many GPUs of so much memory cannot do with a model, and what helps; None for nothing, or if unknown."""
    billions = parameters(model)
    if not billions:
        return None
    train, serve = _needs(study, model, billions)
    bundles = (
        Bundle("training", train, gpus_per_trial(study, model, there, memory_gb), "gpus_per_trial"),
        Bundle("serving", serve, study.resources.gpus_per_replica or 1, "gpus_per_replica"),
    )
    return next((line for bundle in bundles if (line := _misfit(model, bundle, memory_gb, there))), None)


def _misfit(model: Model, bundle: Bundle, memory_gb: float, there: int) -> str | None:
    """Why a bundle never has room, and the cure; None if it has, or there is nothing to do."""
    have = min(bundle.gpus, there)
    room, needed = min(have, 1) * memory_gb, gpus_for(bundle.gb, memory_gb)
    if bundle.gb > USABLE * room if have < 1 else not 0 < needed <= have:
        held = model.quantization or model.precision.dtype
        return (
            f"models: {model.name}: {bundle.act} takes about {bundle.gb:,.0f} GB in {held}, too much for "
            f"{have:g} x {memory_gb:,.0f} GB ({USABLE:.0%} usable); {_cure(model, bundle, needed, there)}"
        )
    if bundle.gb and bundle.gpus > there:
        return (
            f"models: {model.name}: {bundle.act} takes a bundle of {bundle.gpus:g} GPUs (resources.{bundle.setting}), "
            f"which {there} never hold; {needed} would do"
        )
    return None


def _cure(model: Model, bundle: Bundle, needed: int, there: int) -> str:
    several = 1 << (needed - 1).bit_length() if bundle.act == "serving" else needed
    enough = f"resources.{bundle.setting}: {several}" if 0 < several <= there else f"{needed} of them"
    cures = [
        f"{enough} would do" if needed else "no number of them would do: take larger ones",
        *(["fewer resources.rows"] if bundle.act == "serving" else []),
        *(["quantization: nf4"] if model.quantization != "nf4" else []),
    ]
    return ", or ".join(cures)
