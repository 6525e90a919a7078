"""Adapters that are not what they should be: each fault is planted in an adapter's folder, as PEFT would write it."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from orchestrator.engine_folders import CONFIG, WEIGHTS


def tensors(change: Callable[[str, torch.Tensor], tuple[str, torch.Tensor]]) -> Callable[[Path], None]:
    def plant(adapter: Path) -> None:
        changed = dict(change(name, tensor) for name, tensor in load_file(adapter / WEIGHTS).items())
        save_file({name: tensor.contiguous() for name, tensor in changed.items()}, adapter / WEIGHTS)

    return plant


def settings(**change: object) -> Callable[[Path], None]:
    def plant(adapter: Path) -> None:
        (adapter / CONFIG).write_text(json.dumps(json.loads((adapter / CONFIG).read_text()) | change))

    return plant


def exchanged(name: str) -> str:
    return name.replace("gate_proj", "*").replace("up_proj", "gate_proj").replace("*", "up_proj")


def attention_alone(adapter: Path) -> None:
    kept = {name: tensor for name, tensor in load_file(adapter / WEIGHTS).items() if "mlp" not in name}
    save_file(kept, adapter / WEIGHTS)


def half_rank(adapter: Path) -> None:
    """The first half of its directions, under the same alpha."""
    rank = json.loads((adapter / CONFIG).read_text())["r"] // 2
    tensors(lambda name, each: (name, each[:rank] if "lora_A" in name else each[:, :rank]))(adapter)
    settings(r=rank)(adapter)


FAULTY: dict[str, Callable[[Path], None]] = {
    "zeroed": tensors(lambda name, each: (name, 0 * each if "lora_B" in name else each)),
    "other-module": tensors(lambda name, each: (exchanged(name), each)),
    "attention-alone": attention_alone,
    "half-rank": half_rank,
    "double-alpha": settings(lora_alpha=32),
    "half-alpha": settings(lora_alpha=8),
}
