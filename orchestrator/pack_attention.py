"""Attention within each conversation of a row of tokens that many conversations share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .errors import WarmthError
from .pack_lora import Seats

ATTENTION = "each-conversation-alone"
"""The name under which transformers knows our attention."""


@dataclass(frozen=True)
class Block:
    """A member's conversations in the row: where its `tokens` lie, and how to lay them out as `rows` of one length.

    `grid` [rows * longest] is the place of each token, from 0, padding pointing at a conversation's last; `real` says
    where in the grid the tokens lie. Both are null where all conversations are as long.
    """

    tokens: slice
    rows: int
    grid: torch.Tensor | None
    real: torch.Tensor | None


@dataclass(frozen=True)
class Row:
    """All of a row's blocks."""

    blocks: Sequence[Block]

    @classmethod
    def of(cls, seats: Seats, device: str) -> "Row":
        return cls([_block(*each, device) for each in zip(seats.tokens, seats.lengths, strict=True)])


def _block(tokens: slice, lengths: Sequence[int], device: str) -> Block:
    if len(set(lengths)) == 1:
        return Block(tokens, len(lengths), None, None)
    long, sizes = torch.arange(max(lengths)), torch.tensor(lengths)[:, None]
    starts = sizes.cumsum(0) - sizes
    real = (long < sizes).flatten().nonzero()[:, 0]
    grid = (starts + torch.minimum(long, sizes - 1)).flatten()
    return Block(tokens, len(lengths), grid.to(device), real.to(device))


def _attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _: torch.Tensor | None,
    *,
    row: Row,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **__: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention: [1, heads, tokens, size] to [1, tokens, heads, size].

    A conversation is padded on the right to its member's longest, where no word of it can look.
    """
    if softcap is not None:
        name = type(module).__name__
        raise WarmthError(f"models: {name} caps its scores, which cannot be trained here; take another base")
    sides = [side[0].transpose(0, 1) for side in (query, key, value)]
    return torch.cat([_alone(block, sides, scaling, sliding_window) for block in row.blocks])[None], None


def _alone(block: Block, sides: Sequence[torch.Tensor], scaling: float | None, window: int | None) -> torch.Tensor:
    """A member's part of what `_attend` gives: [its tokens, heads, size]."""
    mine = [side[block.tokens] for side in sides]
    if block.grid is not None:
        mine = [side.index_select(0, block.grid) for side in mine]
    query, key, value = (side.unflatten(0, (block.rows, -1)).transpose(1, 2) for side in mine)
    near = _near(query.shape[2], window, query.device)
    said = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=near,
        is_causal=near is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    flat = said.transpose(1, 2).flatten(0, 1)
    return flat if block.real is None else flat.index_select(0, block.real)


def _near(length: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """Which words each word sees through a sliding window; null where it sees all before it."""
    if window is None or window >= length:
        return None
    place = torch.arange(length, device=device)
    back = place[:, None] - place
    return (back >= 0) & (back < window)


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attend)
