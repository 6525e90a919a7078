"""A base model that stays in memory, and adapters that learn side by side on it: one forward and backward pass for all.

All members' conversations lie end to end in one row of tokens, without padding. What depends on a token alone, which is
nearly all of a base's work, is computed for all at once. What mixes tokens (attention) and what is a member's own (its
LoRA, its dropout, its loss) is computed in the shapes that it would have alone. On one thread of a processor a member's
numbers are therefore those of its solo run, bit for bit; on a GPU they differ by rounding.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AutoTokenizer

from . import weights
from .errors import WarmthError
from .pack_attention import ATTENTION, Row
from .pack_lora import Adapted, Lora, Seats
from .settings_subjects import FULL, Precision
from .train_data import Batch
from .train_ranks import ALONE, Ranks


class Resident:
    """A base model that stays in memory while adapters are trained on it, on a GPU if there is one.

    Where several processes train together (`ranks`), each holds a part of every layer.
    """

    def __init__(self, base: str, precision: Precision = FULL, ranks: Ranks = ALONE) -> None:
        self.base, self.ranks = base, ranks
        self.at_once: int | None = None
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        self.model = self._loaded(precision).requires_grad_(False).train()
        self.model.set_attn_implementation(ATTENTION)
        self._without_dropout()
        if self.device == "cuda":
            spare_memory(self.model)
        self._seats = Seats(generator=torch.Generator(self.device))
        self._anchor = torch.zeros((), device=self.device, requires_grad=True)
        self._adapted: dict[str, Adapted] = {}

    def _loaded(self, precision: Precision) -> Any:
        if self.ranks.count == 1:
            return weights.load(self.base, precision, self.device)
        from . import train_sharded

        return train_sharded.load(self.base, precision, self.device)

    def _without_dropout(self) -> None:
        """A base's own dropout would draw for all members from one generator."""
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def shapes(self, targets: Iterable[str]) -> dict[str, tuple[int, int]]:
        """The layers (by name: inputs, outputs) that targets mean. Raises WarmthError for one that means none."""
        own = self._linear()
        found: dict[str, tuple[int, int]] = {}
        for target in targets:
            mine = {name: each for name, each in own.items() if name.split(".")[-1] == target}
            if not mine:
                there = ", ".join(sorted({name.split(".")[-1] for name in own}))
                raise WarmthError(f"training.targets: {self.base} has no linear layer '{target}'; it has {there}")
            found |= {name: (each.in_features, each.out_features) for name, each in mine.items()}
        return dict(sorted(found.items()))

    def _linear(self) -> dict[str, Any]:
        """The base's linear layers by their names, with adapters on them or not."""
        own: dict[str, Any] = {name: each.linear for name, each in self._adapted.items()}
        for name, each in self.model.named_modules():
            if isinstance(each, nn.Linear) and name.removesuffix(".linear") not in self._adapted:
                own[name] = each
        return own

    def adapt(self, names: Iterable[str]) -> None:
        """Make sure that adapters can be added to these layers."""
        for name in names:
            if name not in self._adapted:
                parent, _, child = name.rpartition(".")
                inner = self.model.get_submodule(name)
                self._adapted[name] = Adapted(inner, name, self._seats, self._anchor)
                setattr(self.model.get_submodule(parent), child, self._adapted[name])

    def losses(self, members: Sequence[Lora], batches: Sequence[Batch]) -> list[torch.Tensor]:
        """Each member's mean cross-entropy over what it learns, in nats per token, with the members seated together.

        That of a part of a batch is times its share.
        """
        self._seat(members, batches)
        learnt = [batch.learnt + tokens.start for batch, tokens in zip(batches, self._seats.tokens, strict=True)]
        logits = self.model(
            input_ids=self._row([batch.tokens for batch in batches]),
            position_ids=self._row([batch.positions for batch in batches]),
            use_cache=False,
            logits_to_keep=torch.cat(learnt).to(self.device),
            row=Row.of(self._seats, self.device),
        ).logits[0]
        parts = logits.float().split([len(each) for each in learnt])
        targets = [batch.targets.to(self.device) for batch in batches]
        means = [F.cross_entropy(part, wanted) for part, wanted in zip(parts, targets, strict=True)]
        return [mean * batch.share for mean, batch in zip(means, batches, strict=True)]

    def _row(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat(list(parts))[None].to(self.device)

    def _seat(self, members: Sequence[Lora], batches: Sequence[Batch]) -> None:
        seats, sizes = self._seats, [len(batch.tokens) for batch in batches]
        seats.tokens = [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]
        seats.lengths = [batch.lengths for batch in batches]
        seats.within = [(batch.begin, batch.of) for batch in batches]
        if list(members) != list(seats.members):
            seats.members, seats.weights, seats.gradients = list(members), None, None
        alike = len(members) > 1 and len({member.layout for member in members}) == 1
        seats.even = alike and len(set(sizes)) == 1
        if seats.even and seats.weights is None:
            self._move_together()

    def _move_together(self) -> None:
        """Let the members' numbers lie in rows of one matrix, so that one product takes them all."""
        seats = self._seats
        seats.weights = torch.stack([member.weights for member in seats.members])
        seats.gradients = torch.stack([member.gradient for member in seats.members])
        for member, row, gradient in zip(seats.members, seats.weights, seats.gradients, strict=True):
            member.move(row, gradient)


def spare_memory(model: Any) -> None:
    """Keep only what goes into each layer, and compute the rest again going backward: the same gradients, slower.

    Sixteen conversations of 1,024 tokens through 8 billion parameters would otherwise keep about 75 GB.
    """
    model.activation_checkpointing_enable()
