"""LoRA adapters of one base model, many in one batch.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: a layer y = Wx becomes y = Wx + (alpha / r) B A x.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from torch import nn

from . import engine_folders
from .engine import RequestError
from .engine_folders import BASE, same_base

# Settings of PEFT that change what an adapter computes; anything but empty or false would be served wrongly.
UNSUPPORTED = (
    "use_rslora", "use_dora", "use_qalora", "fan_in_fan_out", "lora_bias", "alpha_pattern", "layer_replication",
    "modules_to_save", "trainable_token_indices", "target_parameters", "alora_invocation_tokens", "arrow_config",
    "megatron_config",
)  # fmt: skip
KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


Pair = tuple[torch.Tensor, torch.Tensor]
"""A [r, in] and (alpha / r) B [out, r] of one layer."""
Sizes = Mapping[str, tuple[int, int]]
"""What goes into and comes out of every linear layer of a base model, by the layer's name."""


@dataclass(frozen=True)
class Adapter:
    """The weights of one adapter, by the name of the layer they belong to; `rank` is the largest."""

    rank: int
    layers: Mapping[str, Pair]


def sizes(model: nn.Module) -> Sizes:
    """The linear layers of a model, which are all that an adapter may change."""
    linear = ((name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear))
    return {name: (layer.in_features, layer.out_features) for name, layer in linear}


def load(folder: Path, base: str, known: Sizes, dtype: torch.dtype, device: str) -> Adapter:
    """An adapter as PEFT writes it, ready to be served.

    Raises RequestError naming it where its bytes are not those of its name, where it is not a plain LoRA of `base` and
    of layers like the `known` ones, or where a weight is no number.
    """
    config, weights = engine_folders.read(folder)
    _refuse_unsupported(folder, config, base)
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in _tensors(folder, weights).items():
        match = KEY.fullmatch(key)
        if not match:
            raise _unfit(folder, f"{key} is not a LoRA weight of a linear layer; train without it")
        pairs.setdefault(match[1], {})[match[2]] = tensor
    ranks = {config["r"], *(config.get("rank_pattern") or {}).values()}
    layers = {name: _pair(folder, name, pair, known, ranks) for name, pair in pairs.items()}
    if not layers:
        raise _unfit(folder, "it has no weights; train it again")
    scaled = {name: _scaled(*pair, config["lora_alpha"], dtype, device) for name, pair in layers.items()}
    return Adapter(max(down.shape[0] for down, _ in layers.values()), scaled)


def _unfit(folder: Path, why: str) -> RequestError:
    return RequestError(f"adapter {folder.name} is not served: {why}", "model")


def _refuse_unsupported(folder: Path, config: Mapping[str, Any], base: str) -> None:
    if not same_base(str(config[BASE]), base):
        raise _unfit(folder, f"its base is {config[BASE]}, not {base}")
    if config["peft_type"] != "LORA":
        raise _unfit(folder, f"peft_type {config['peft_type']}; train with LORA")
    wrong = [name for name in UNSUPPORTED if config.get(name)]
    if config.get("bias", "none") != "none":
        wrong.append("bias")
    if wrong:
        raise _unfit(folder, f"{', '.join(wrong)} cannot be; train without")


def _tensors(folder: Path, weights: bytes) -> dict[str, torch.Tensor]:
    try:
        found = tensors_of(weights)
    except SafetensorError as error:
        raise _unfit(folder, f"its weights are damaged ({error}); train it again") from error
    broken = [name for name, tensor in found.items() if not tensor.isfinite().all()]
    if broken:
        raise _unfit(folder, f"{broken[0]} holds what is no number: its training diverged; lower the learning rate")
    return found


def _pair(folder: Path, name: str, pair: Mapping[str, torch.Tensor], known: Sizes, ranks: set[int]) -> Pair:
    """A layer's A and B. What does not fit would only be found out in a batch, at the cost of everyone else in it."""
    if name not in known:
        raise _unfit(folder, f"it changes {name}, which is no linear layer of its base")
    shapes = {side: tuple(tensor.shape) for side, tensor in pair.items()}
    wide, high = known[name]
    if not any(shapes == {"A": (rank, wide), "B": (high, rank)} for rank in ranks):
        raise _unfit(folder, f"the weights of {name} are {shapes}, not of rank {sorted(ranks)} for {wide} x {high}")
    return pair["A"], pair["B"]


def _scaled(down: torch.Tensor, up: torch.Tensor, alpha: float, dtype: torch.dtype, device: str) -> Pair:
    return down.to(device, dtype), (up * (alpha / down.shape[0])).to(device, dtype)


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
        if (wanted.keys() <= self._adapters.keys() and len(self._adapters) <= 4 * len(wanted)) or not wanted:
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
        assert isinstance(linear, nn.Linear)
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
