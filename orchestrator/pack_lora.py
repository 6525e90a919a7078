"""What adapters that learn side by side add to a base's layers, forward and backward.

LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685): y = Wx + (alpha / r) B A dropout(x).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

LEVELS = 2**16
"""Dropout's probability is a whole number of parts of this: sixteen random bits decide about each input."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a layer's A [r, in] and B [out, r] lie in the row of a member's weights, and the seed of its dropout."""

    down: slice
    up: slice
    rank: int
    inputs: int
    outputs: int
    seed: int


class Lora(Protocol):
    """What the layers need to know of a member; it never changes but for the numbers and `drawn`."""

    weights: torch.Tensor
    "All its numbers in one row."
    gradient: torch.Tensor
    "Theirs, which is added to."
    parts: dict[str, Part]
    scale: float
    dropout: float

    @property
    def drawn(self) -> int:
        """How often dropout has been drawn."""

    @property
    def layout(self) -> Hashable:
        """Members whose layouts are equal can be taken by one product."""

    def move(self, weights: torch.Tensor, gradient: torch.Tensor) -> None:
        """Use these rows, which hold its numbers, from now on."""


@dataclass
class Seats:
    """Who sits where in the row of tokens. `weights` and `gradients` hold all members' rows where `even`.

    `within` says where in a member's whole batch its tokens begin, and how many that has.
    """

    members: Sequence[Lora] = ()
    tokens: Sequence[slice] = ()
    within: Sequence[tuple[int, int]] = ()
    lengths: Sequence[tuple[int, ...]] = ()
    even: bool = False
    weights: torch.Tensor | None = None
    gradients: torch.Tensor | None = None
    generator: torch.Generator = field(default_factory=torch.Generator)


def kept(
    member: Lora, part: Part, x: torch.Tensor, within: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    """Which inputs dropout leaves: a mask like x [tokens, in], the same whenever it is asked within a step.

    It depends on the member, the layer and the step alone, so that neither other members nor computing something again
    changes it; it is drawn for the whole batch, so that a part of it has the mask that it has in the whole.
    """
    generator.manual_seed((part.seed + member.drawn) % 2**63)
    begin, of = (each * x.shape[-1] for each in within)
    words = torch.empty(-(-of // 4), dtype=torch.int64, device=x.device)
    bits = words.random_(-(2**63), None, generator=generator).view(torch.int16)[begin : begin + x.numel()]
    return (bits >= round(member.dropout * LEVELS) - LEVELS // 2).view(x.shape)


def strength(member: Lora) -> float:
    """What a product is multiplied by: LoRA's scale, over the share that dropout leaves."""
    return member.scale / (1 - round(member.dropout * LEVELS) / LEVELS)


class Adapted(nn.Module):
    """A linear layer of the base, to which each member adds its own to its own tokens."""

    def __init__(self, linear: nn.Module, name: str, seats: Seats, anchor: torch.Tensor) -> None:
        super().__init__()
        self.linear, self._name, self._seats = linear, name, seats
        self._anchor = (anchor,)  # in a tuple, or it would count as a parameter of the model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[1, tokens, in] to [1, tokens, out]."""
        y: torch.Tensor = self.linear(x)
        if not any(self._name in member.parts for member in self._seats.members):
            return y
        added = _Together if self._seats.even else _Each
        found = added.apply(y, x, self._anchor[0], self._name, self._seats)
        assert isinstance(found, torch.Tensor)
        return found


class _Each(torch.autograd.Function):
    """y + each member's product, one by one. Their gradients go straight into their rows, which saves a graph."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, x: torch.Tensor, _: torch.Tensor, name: str, seats: Seats) -> torch.Tensor:
        ctx.mine = [
            (member, member.parts[name], tokens, _mask(member, name, x[0, tokens], within, seats.generator))
            for member, tokens, within in zip(seats.members, seats.tokens, seats.within, strict=True)
            if name in member.parts
        ]
        ctx.save_for_backward(x)
        for member, part, tokens, mask in ctx.mine:
            dropped = _dropped(x[0, tokens], mask)
            inner = (dropped @ _down(member.weights, part).t()).mul_(strength(member))
            y[0, tokens] += inner @ _up(member.weights, part).t()
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,), (x,) = grads, ctx.saved_tensors
        back = torch.zeros_like(x) if ctx.needs_input_grad[1] else None
        for member, part, tokens, mask in ctx.mine:
            mine, dropped = grad[0, tokens].float(), _dropped(x[0, tokens], mask)
            inner = (mine @ _up(member.weights, part)).mul_(strength(member))
            outer = (dropped @ _down(member.weights, part).t()).mul_(strength(member))
            _up(member.gradient, part).add_(mine.t() @ outer)
            _down(member.gradient, part).add_(inner.t() @ dropped)
            if back is not None:
                back[0, tokens] = _dropped(inner @ _down(member.weights, part), mask)
        return grad, back, None, None, None


class _Together(torch.autograd.Function):
    """The same where all members have as many tokens and the same layout: one product for all of them."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, x: torch.Tensor, _: torch.Tensor, name: str, seats: Seats) -> torch.Tensor:
        ctx.seats, ctx.part = seats, seats.members[0].parts[name]
        ctx.mask, ctx.strength = _masks(name, x, seats)
        ctx.save_for_backward(x)
        dropped = _dropped(_by_member(x, seats), ctx.mask)
        inner = torch.bmm(dropped, _down(seats.weights, ctx.part).mT).mul_(ctx.strength)
        _by_member(y, seats).add_(torch.bmm(inner, _up(seats.weights, ctx.part).mT))
        ctx.mark_dirty(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,), (x,), seats, part = grads, ctx.saved_tensors, ctx.seats, ctx.part
        down, up = _down(seats.weights, part), _up(seats.weights, part)
        mine, dropped = _by_member(grad, seats).float(), _dropped(_by_member(x, seats), ctx.mask)
        inner = torch.bmm(mine, up).mul_(ctx.strength)
        outer = torch.bmm(dropped, down.mT).mul_(ctx.strength)
        _up(seats.gradients, part).add_(torch.bmm(mine.mT, outer))
        _down(seats.gradients, part).add_(torch.bmm(inner.mT, dropped))
        back = None
        if ctx.needs_input_grad[1]:
            back = _dropped(torch.bmm(inner, down), ctx.mask).to(x.dtype).view(x.shape)
        return grad, back, None, None, None


def _mask(
    member: Lora, name: str, x: torch.Tensor, within: tuple[int, int], generator: torch.Generator
) -> torch.Tensor | None:
    return kept(member, member.parts[name], x, within, generator) if member.dropout else None


def _masks(name: str, x: torch.Tensor, seats: Seats) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Masks [members, tokens, in], and the strengths [members, 1, 1]."""
    mine = _by_member(x, seats)
    strengths = mine.new_tensor([strength(member) for member in seats.members], dtype=torch.float32)[:, None, None]
    if not seats.members[0].dropout:
        return None, strengths
    drawn = [
        kept(member, member.parts[name], mine[place], seats.within[place], seats.generator)
        for place, member in enumerate(seats.members)
    ]
    return torch.stack(drawn), strengths


def _by_member(x: torch.Tensor, seats: Seats) -> torch.Tensor:
    """[1, tokens, size] to [members, tokens of each, size]."""
    return x.view(len(seats.members), -1, x.shape[-1])


def _dropped(x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """In single precision, whatever the base is held in: adapters are."""
    return x.float() if mask is None else x.float() * mask


def _down(rows: torch.Tensor | None, part: Part) -> torch.Tensor:
    """A of one row or of several."""
    assert rows is not None
    return rows[..., part.down].unflatten(-1, (part.rank, part.inputs))


def _up(rows: torch.Tensor | None, part: Part) -> torch.Tensor:
    """B of one row or of several."""
    assert rows is not None
    return rows[..., part.up].unflatten(-1, (part.outputs, part.rank))
