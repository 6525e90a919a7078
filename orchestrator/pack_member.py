"""One trial in training: its LoRA and optimiser, its batches, where it stands."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import save as serialized
from torch import nn

from .errors import WarmthError
from .pack import Resident
from .pack_lora import Part
from .settings_training import TrainingSettings
from .tables import Chat, digest
from .train_data import Batch, Example, check_prompt, collate, encode, orders
from .train_parts import divided


@dataclass(frozen=True)
class Job:
    """A trial as training sees it; `name` is for those who listen. Conversations may be tokenised already."""

    name: str
    chats: Sequence[Chat | Example]
    settings: TrainingSettings
    seed: int
    checkpoints: Sequence[float]


@dataclass(frozen=True)
class Trained:
    """What came of it: every step's loss, how many conversations were cut, and how many had no reply left in them.

    `packed` says how a member's first step beside others differed from the same step alone; null if it never had any.
    `retried` is how many of its steps found no memory, and were taken again with fewer beside it or in smaller parts.
    """

    losses: list[float]
    cut: int
    left_out: int
    packed: dict[str, float] | None = None
    retried: int = 0


@dataclass(frozen=True)
class Moment:
    """Where training stands: optimiser steps done and in all, and the mean loss per labelled token of the last step."""

    step: int
    steps: int
    loss: float


class Member:
    """A trial's adapter while it learns. The same job gives the same numbers whoever else is in the pack."""

    def __init__(self, resident: Resident, job: Job) -> None:
        self.job, self._resident = job, resident
        self.losses: list[float] = []
        self.packed: dict[str, float] | None = None
        self.retried = 0
        self._shapes = resident.shapes(job.settings.targets)
        _check_rank(job.settings.rank, self._shapes)
        resident.adapt(self._shapes)
        check_prompt(resident.tokenizer)
        self._encoded = [
            chat if isinstance(chat, Example) else encode(resident.tokenizer, chat, job.settings.max_length)
            for chat in job.chats
        ]
        self.parts = _parts(self._shapes, job)
        self.weights = self._drawn().to(resident.device)
        self.gradient = torch.zeros_like(self.weights)
        self.scale, self.dropout = job.settings.alpha / job.settings.rank, job.settings.dropout
        self._learnt = nn.Parameter(self.weights, requires_grad=False)
        self._optimizer = torch.optim.AdamW([self._learnt], weight_decay=0.0, fused=True)
        self._batches = orders(self._examples, job.settings.batch, job.seed)

    @cached_property
    def _examples(self) -> list[Example]:
        """The conversations with something to learn. Raises WarmthError if there is none."""
        found = [example for example in self._encoded if example.teaches]
        if not found:
            raise WarmthError(_nothing_to_learn(self.job.chats))
        return found

    def _drawn(self) -> torch.Tensor:
        """All weights in one row: B of zeros, and A drawn as PEFT draws it, uniform within 1 / sqrt(inputs)."""
        rank, drawn = self.job.settings.rank, []
        for name, (inputs, outputs) in self._shapes.items():
            generator = torch.Generator().manual_seed(_seed(self.job.seed, "begin", name))
            near = 1 / math.sqrt(inputs)
            drawn += [
                torch.empty(rank * inputs).uniform_(-near, near, generator=generator),
                torch.zeros(outputs * rank),
            ]
        return torch.cat(drawn)

    @property
    def layout(self) -> Hashable:
        """What members have to have in common for one product to take them all."""
        return self.job.settings.rank, tuple(self._shapes), bool(self.dropout)

    @property
    def drawn(self) -> int:
        """How often dropout has been drawn."""
        return len(self.losses)

    def move(self, weights: torch.Tensor, gradient: torch.Tensor) -> None:
        """Use these rows, which hold its numbers, from now on."""
        self.weights, self.gradient = weights, gradient
        self._learnt.data = weights

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return steps_at(self.job.settings.epochs, self._per_epoch)

    @property
    def _per_epoch(self) -> int:
        return math.ceil(len(self._examples) / self.job.settings.batch)

    @property
    def due(self) -> list[float]:
        """The checkpoints, in epochs, that are reached at this very step."""
        return [epoch for epoch in self.job.checkpoints if steps_at(epoch, self._per_epoch) == len(self.losses)]

    @property
    def moment(self) -> Moment:
        return Moment(len(self.losses), self.steps, self.losses[-1])

    @property
    def trained(self) -> Trained:
        cut = sum(example.cut for example in self._encoded)
        return Trained(self.losses, cut, len(self._encoded) - len(self._examples), self.packed, self.retried)

    @cached_property
    def _next(self) -> Batch:
        return collate(next(self._batches))

    @property
    def batch(self) -> Batch:
        """What the next step reads."""
        return self._next

    def passes(self, at_once: int | None) -> list[Batch]:
        """The same, as far as this process reads it, in passes of so many tokens at the most."""
        batch, ranks = self._next, self._resident.ranks
        mine = [each[ranks.rank] for each in divided(batch.lengths, ranks.count, at_once)]
        return [batch] if mine == [range(len(batch.lengths))] else [batch.part(chosen) for chosen in mine]

    def step(self, loss: float) -> None:
        """Learn from the gradient that has been gathered."""
        warmed = min(1.0, (len(self.losses) + 1) / max(1, self.job.settings.warmup_steps))
        self._optimizer.param_groups[0]["lr"] = self.job.settings.learning_rate * warmed
        self._learnt.grad = self.gradient
        self._optimizer.step()
        self.gradient.zero_()
        self.losses.append(loss)
        vars(self).pop("_next", None)

    def state(self) -> dict[str, torch.Tensor]:
        """All that the next steps follow from, besides the losses so far."""
        kept = self._optimizer.state[self._learnt]
        return {"weights": self.weights, **{name: kept[name] for name in ("exp_avg", "exp_avg_sq", "step")}}

    def restore(self, state: Mapping[str, torch.Tensor], losses: Sequence[float]) -> None:
        """Go on from a state, as if nothing had happened."""
        self.weights.copy_(state["weights"])
        moments = {name: state[name].to(self._resident.device) for name in ("exp_avg", "exp_avg_sq", "step")}
        self._optimizer.state[self._learnt] = moments
        self.losses[:] = losses
        self._batches = orders(self._examples, self.job.settings.batch, self.job.seed, len(losses))

    def save(self, folder: Path) -> None:
        """Write the adapter as PEFT does."""
        settings = self.job.settings
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=sorted(settings.targets),
            task_type="CAUSAL_LM",
            base_model_name_or_path=self._resident.base,
            inference_mode=True,
        )
        config.save_pretrained(str(folder))
        weights: dict[str, Any] = {}
        for name, part in self.parts.items():
            shapes = {"A": (part.down, (part.rank, part.inputs)), "B": (part.up, (part.outputs, part.rank))}
            for side, (place, shape) in shapes.items():
                weights[f"base_model.model.{name}.lora_{side}.weight"] = self.weights[place].view(shape)
        write(weights, folder / "adapter_model.safetensors", {"format": "pt"})


def steps_at(epoch: float, per_epoch: int) -> int:
    """The optimiser step at which an epoch, whole or in part, is reached."""
    return max(1, round(epoch * per_epoch))


def _parts(shapes: Mapping[str, tuple[int, int]], job: Job) -> dict[str, Part]:
    """Where each layer's A and B lie in the row of all weights."""
    rank, start, found = job.settings.rank, 0, {}
    for name, (inputs, outputs) in shapes.items():
        middle, end = start + rank * inputs, start + rank * (inputs + outputs)
        seed = _seed(job.seed, "dropout", name)
        found[name] = Part(slice(start, middle), slice(middle, end), rank, inputs, outputs, seed)
        start = end
    return found


def _nothing_to_learn(chats: Sequence[Chat | Example]) -> str:
    if any(turn.role == "assistant" for chat in chats if isinstance(chat, Chat) for turn in chat.turns):
        return f"training.max_length: none of {len(chats)} conversations has a reply within it; raise it"
    return f"data: none of {len(chats)} conversations has a turn of the assistant to learn from; give others"


def write(tensors: Mapping[str, torch.Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write safetensors, whose own way of writing says nothing of the system's when a disk is full."""
    file.write_bytes(serialized({name: each.cpu().contiguous() for name, each in tensors.items()}, metadata))


def _seed(*of: object) -> int:
    return int(digest(*of, length=16), 16) >> 1


def _check_rank(rank: int, shapes: Mapping[str, tuple[int, int]]) -> None:
    for name, shape in shapes.items():
        if rank > min(shape):
            raise WarmthError(
                f"training.rank: {rank} is more than layer {name} has ({shape[0]} x {shape[1]}); lower it"
            )
