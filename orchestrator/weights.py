"""A base model's weights in memory, held in the numbers that the study names: for training and for serving alike."""

import importlib.util
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from .errors import WarmthError
from .settings_subjects import Precision


def load(folder: str, precision: Precision, device: str) -> PreTrainedModel:
    """The model in a folder, on a device; code that lies beside the weights is never run.

    Raises WarmthError where its quantisation needs what is not here.
    """
    settings: dict[str, Any] = {"dtype": dtype(precision), "trust_remote_code": False}
    if precision.quantization is None:
        return AutoModelForCausalLM.from_pretrained(folder, **settings).to(device)
    packed = _packing(folder, precision, device)
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=packed, device_map={"": device}, **settings)


def dtype(precision: Precision) -> torch.dtype:
    """What is computed with, whatever the weights are packed into."""
    found = getattr(torch, precision.dtype)
    assert isinstance(found, torch.dtype)
    return found


def _packing(folder: str, precision: Precision, device: str) -> BitsAndBytesConfig:
    lacking = {
        "bitsandbytes, which is not installed (`pip install bitsandbytes`)": not importlib.util.find_spec(
            "bitsandbytes"
        ),
        "a GPU, of which there is none": device == "cpu",
    }
    if any(lacking.values()):
        needs = " and ".join(what for what, lacks in lacking.items() if lacks)
        raise WarmthError(
            f"models: {folder}: quantization {precision.quantization} needs {needs}; or leave the setting out"
        )
    if precision.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype(precision),
    )
