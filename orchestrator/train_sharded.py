"""A base parted among processes: each holds a part of every layer, and all of one only while that is computed.

FSDP2 (`torch.distributed.fsdp.fully_shard`) gathers a layer's weights before it is needed and lets go of them after. As
they are frozen, nothing else of them is sent; the adapters, which are small, are whole in every process.
"""

from typing import Any

import torch
import torch.distributed as dist
from accelerate import init_empty_weights
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModelForCausalLM

from . import weights
from .errors import WarmthError
from .settings_subjects import Precision


def load(folder: str, precision: Precision, device: str) -> Any:
    """The model in a folder, its weights frozen. The first process reads it, and hands it on layer by layer.

    Raises WarmthError for quantised weights, which cannot be parted.
    """
    if precision.quantization:
        raise WarmthError(
            f"models: {folder}: quantization {precision.quantization} is trained on one GPU alone; set "
            "resources.gpus_per_trial to 1, or leave quantization out"
        )
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    model = weights.load(folder, precision, "cpu") if dist.get_rank() == 0 else _empty(folder, precision)
    model.requires_grad_(False)
    for block in _blocks(model):
        _fill(block, device)
        fully_shard(block, mesh=mesh)
    _fill(model, device)
    fully_shard(model, mesh=mesh)
    return model


def _empty(folder: str, precision: Precision) -> Any:
    """The same model without its weights; what is computed from its settings is there."""
    with init_empty_weights(include_buffers=False):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(config, dtype=weights.dtype(precision), trust_remote_code=False)
    model.tie_weights()
    return model


def _blocks(model: Any) -> list[nn.Module]:
    """The layers that transformers never splits."""
    return [module for module in model.modules() if type(module).__name__ in (model._no_split_modules or ())]


def _fill(module: nn.Module, device: str) -> None:
    """Bring a module's weights, but for those of layers that are parted already, to every process's device."""
    made: dict[nn.Parameter, nn.Parameter] = {}  # tied weights are one, here and there
    for inner in module.modules():
        for name, weight in [*inner.named_parameters(recurse=False)]:
            if not isinstance(weight, DTensor):
                setattr(inner, name, _once(made, weight, device))
        for name, buffer in [*inner.named_buffers(recurse=False)]:
            setattr(inner, name, buffer.to(device))
    for weight in made.values():
        dist.broadcast(weight.data, src=0)


def _once(made: dict[nn.Parameter, nn.Parameter], weight: nn.Parameter, device: str) -> nn.Parameter:
    if weight not in made:
        moved = torch.empty_like(weight, device=device) if weight.is_meta else weight.data.to(device)
        made[weight] = nn.Parameter(moved, requires_grad=False)
    return made[weight]
