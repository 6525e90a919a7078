"""LoRA adapters of one base model, many in one batch.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: a layer y = Wx becomes y = Wx + (alpha / r) B A x.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from .engine_folders import CONFIG, WEIGHTS, same_base
from .errors import WarmthError

# Settings of PEFT that change what an adapter computes; anything but empty or false would be served wrongly.
UNSUPPORTED = (
    "use_rslora", "use_dora", "use_qalora", "fan_in_fan_out", "lora_bias", "alpha_pattern", "layer_replication",
    "modules_to_save", "trainable_token_indices", "target_parameters", "alora_invocation_tokens", "arrow_config",
    "megatron_config",
)  # fmt: skip
KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


Pair = tuple[torch.Tensor, torch.Tensor]
"""A [r, in] and (alpha / r) B [out, r] of one layer."""


@dataclass(frozen=True)
class Adapter:
    """The weights of one adapter, by the name of the layer they belong to; `rank` is the largest."""

    rank: int
    layers: Mapping[str, Pair]


def load(folder: Path, base: str, device: str, dtype: torch.dtype) -> Adapter:
    """Reads a folder as PEFT writes it. Raises WarmthError naming the folder where it is not a plain LoRA of `base`."""
    config = json.loads((folder / CONFIG).read_text())
    _refuse_unsupported(folder, config, base)
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / WEIGHTS, device=device).items():
        match = KEY.fullmatch(key)
        if not match:
            raise WarmthError(f"{folder / WEIGHTS}: {key} is not a LoRA weight of a linear layer; train without it")
        pairs.setdefault(match[1], {})[match[2]] = tensor
    layers = {name: _scaled(pair["A"], pair["B"], config["lora_alpha"], dtype) for name, pair in pairs.items()}
    return Adapter(max(down.shape[0] for down, _ in layers.values()), layers)


def _refuse_unsupported(folder: Path, config: Mapping[str, Any], base: str) -> None:
    place = folder / CONFIG
    if not same_base(str(config["base_model_name_or_path"]), base):
        raise WarmthError(f"{place}: this adapter's base is {config['base_model_name_or_path']}, not {base}")
    if config["peft_type"] != "LORA":
        raise WarmthError(f"{place}: peft_type {config['peft_type']} is not served; train with LORA")
    wrong = [name for name in UNSUPPORTED if config.get(name)]
    if config.get("bias", "none") != "none":
        wrong.append("bias")
    if wrong:
        raise WarmthError(f"{place}: {', '.join(wrong)} is not served; train without")


def _scaled(down: torch.Tensor, up: torch.Tensor, alpha: float, dtype: torch.dtype) -> Pair:
    return down.to(dtype), (up * (alpha / down.shape[0])).to(dtype)


class Bench:
    """The adapters whose rows are in the batch, side by side in every layer.

    All of them are applied to all rows by one product, and `mask` [rows, 1, sum of ranks] keeps of it what is a row's
    own; it is None where no row has an adapter. For small ranks this is faster than gathering each row's weights.
    """

    def __init__(self, model: nn.Module) -> None:
        self.mask: torch.Tensor | None = None
        self._model = model
        self._adapters: dict[str, Adapter] = {}
        self._owners = torch.empty(0)
        self._layers: dict[str, LoraLinear] = {}

    def seat(self, wanted: Mapping[str, Adapter]) -> None:
        """Makes sure of the wanted adapters. Others may stay, as they may well come again, but not too many."""
        if wanted.keys() <= self._adapters.keys() and len(self._adapters) <= 4 * max(1, len(wanted)):
            return
        both = {**self._adapters, **wanted}
        self._adapters = both if len(both) <= 2 * len(wanted) else dict(wanted)
        ranks = torch.tensor([adapter.rank for adapter in self._adapters.values()], dtype=torch.long)
        self._owners = torch.arange(len(ranks)).repeat_interleave(ranks)
        for name in {name for adapter in self._adapters.values() for name in adapter.layers} - self._layers.keys():
            self._layers[name] = self._replace(name)
        for name, layer in self._layers.items():
            layer.stack(name, self._adapters.values())

    def aim(self, names: Sequence[str | None], device: torch.device, dtype: torch.dtype) -> None:
        """Says which adapter each row of the next forward pass, on this device and in this dtype, is under."""
        if not any(names):
            self.mask = None
            return
        order = {name: index for index, name in enumerate(self._adapters)}
        own = torch.tensor([order[name] if name else -1 for name in names])
        self.mask = (own[:, None] == self._owners).to(device, dtype)[:, None]

    def _replace(self, name: str) -> "LoraLinear":
        parent, _, child = name.rpartition(".")
        linear = self._model.get_submodule(name)
        if not isinstance(linear, nn.Linear):
            raise WarmthError(f"an adapter changes {name}, which is a {type(linear).__name__}; only Linear is served")
        layer = LoraLinear(linear, self)
        setattr(self._model.get_submodule(parent), child, layer)
        return layer


class LoraLinear(nn.Module):
    """A linear layer with the benched adapters' products added, to each row its own."""

    def __init__(self, linear: nn.Linear, bench: Bench) -> None:
        super().__init__()
        self.linear = linear
        self._bench = (bench,)  # in a tuple, or the whole model would become a submodule of its own layer
        self.down = self.up = linear.weight.new_empty(0)

    def stack(self, name: str, adapters: Iterable[Adapter]) -> None:
        """Lays the adapters' weights side by side: down [in, sum of ranks], up [sum of ranks, out]."""
        pairs = [self._padded(adapter, name) for adapter in adapters]
        self.down = torch.cat([down for down, _ in pairs]).t().contiguous()
        self.up = torch.cat([up.t() for _, up in pairs]).contiguous()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, tokens, in] to [rows, tokens, out]."""
        y: torch.Tensor = self.linear(x)
        mask = self._bench[0].mask
        if mask is None:
            return y
        inner = (x @ self.down).mul_(mask)
        return y.flatten(0, 1).addmm_(inner.flatten(0, 1), self.up).view_as(y)

    def _padded(self, adapter: Adapter, name: str) -> Pair:
        """The adapter's pair for this layer, zeros up to its rank: nothing at all where it leaves the layer alone."""
        like = next(iter(adapter.layers.values()))[0]  # the layer's own weights may be packed into 4 bits
        down = like.new_zeros(adapter.rank, self.linear.in_features)
        up = like.new_zeros(self.linear.out_features, adapter.rank)
        if name in adapter.layers:
            own_down, own_up = adapter.layers[name]
            down[: own_down.shape[0]], up[:, : own_up.shape[1]] = own_down, own_up
        return down, up
