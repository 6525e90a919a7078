"""LoRA fine-tuning of one trial: a base model, conversations, settings, a seed; adapters come out. Knows no Ray."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from . import engine_folders, weights
from .errors import WarmthError
from .settings_subjects import FULL, Precision
from .settings_training import TrainingSettings
from .tables import Chat, Turn

IGNORED = -100
"""The label of a position that has no part in the loss."""


@dataclass(frozen=True)
class Example:
    """One tokenised conversation; `labels` are IGNORED but on the assistant's turns. `cut` says that it went on."""

    tokens: list[int]
    labels: list[int]
    cut: bool = False

    @property
    def teaches(self) -> bool:
        """Whether any of the assistant's words are left."""
        return any(label != IGNORED for label in self.labels)


@dataclass(frozen=True)
class Trained:
    """What came of it: every step's loss, how many conversations were cut, and how many had no reply left in them."""

    losses: list[float]
    cut: int
    left_out: int


@dataclass(frozen=True)
class Moment:
    """Where training stands: optimiser steps done and in all, and the mean loss per labelled token of the last step."""

    step: int
    steps: int
    loss: float


def train(
    base: str,
    chats: Sequence[Chat],
    settings: TrainingSettings,
    seed: int,
    checkpoints: Sequence[float],
    keep: Callable[[float, Moment, PeftModel], None],
    precision: Precision = FULL,
    told: Callable[[Moment], None] = lambda _: None,
) -> Trained:
    """Tune a LoRA on the assistant's turns and `keep` it at every checkpoint, in epochs. `told` hears of every step.

    The same arguments give the same adapters, bit for bit, on one thread of one kind of processor.
    """
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    encoded = [encode(tokenizer, chat, settings.max_length) for chat in chats]
    examples = [example for example in encoded if example.teaches]
    if not examples:
        raise WarmthError(f"training.max_length: none of {len(chats)} conversations has a reply within it; raise it")
    model = adapted(base, settings, precision)
    per_epoch = math.ceil(len(examples) / settings.batch)
    due = {steps_at(epoch, per_epoch): epoch for epoch in checkpoints}
    total = steps_at(settings.epochs, per_epoch)
    losses = []
    for step, loss in enumerate(_steps(model, examples, settings, seed, total, tokenizer.pad_token_id or 0), start=1):
        losses.append(loss)
        moment = Moment(step, total, loss)
        told(moment)
        if step in due:
            keep(due[step], moment, model)
    return Trained(losses, sum(example.cut for example in encoded), len(encoded) - len(examples))


def steps_at(epoch: float, per_epoch: int) -> int:
    """The optimiser step at which an epoch, whole or in part, is reached."""
    return max(1, round(epoch * per_epoch))


def adapted(base: str, settings: TrainingSettings, precision: Precision = FULL) -> PeftModel:
    """The base model under a fresh LoRA, on a GPU if there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = weights.load(base, precision, device)
    if device == "cuda":
        spare_memory(model)
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora).train()


def spare_memory(model: PreTrainedModel) -> None:
    """Keep only what goes into each layer, and compute the rest again going backward: the same gradients, slower.

    Sixteen conversations of 1,024 tokens through 8 billion parameters would otherwise keep about 75 GB.
    """
    model.activation_checkpointing_enable()


def encode(tokenizer: PreTrainedTokenizerBase, chat: Chat, max_length: int) -> Example:
    """A conversation as the model's own chat template writes it; only what the assistant says is learnt, in every turn.

    Raises WarmthError if the template writes what came before differently once a turn is added.
    """
    tokens = _written(tokenizer, chat.turns)
    labels = [IGNORED] * len(tokens)
    for place, turn in enumerate(chat.turns):
        if turn.role == "assistant":
            begin = _prefix(tokenizer, chat.turns[:place], tokens, answering=True)
            if begin >= max_length:
                break
            end = _prefix(tokenizer, chat.turns[: place + 1], tokens)
            labels[begin:end] = tokens[begin:end]
    return Example(tokens[:max_length], labels[:max_length], len(tokens) > max_length)


def _written(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], answering: bool = False) -> list[int]:
    said = [{"role": turn.role, "content": turn.content} for turn in turns]
    text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=answering)
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _prefix(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], tokens: Sequence[int], answering: bool = False
) -> int:
    """How many of a conversation's tokens its first turns are."""
    first = _written(tokenizer, turns, answering)
    if tokens[: len(first)] != first:
        raise WarmthError(
            f"{tokenizer.name_or_path}: its chat template does not begin an answered conversation like an open one, so "
            "the assistant's words cannot be told apart; use one whose generation prompt begins the assistant's turn "
            "and which writes a turn the same whatever follows it"
        )
    return len(first)


def _steps(
    model: PeftModel, examples: Sequence[Example], settings: TrainingSettings, seed: int, total: int, pad: int
) -> Iterator[float]:
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=settings.learning_rate, weight_decay=0.0)
    warmup = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / max(1, settings.warmup_steps))
    )
    for _, batch in zip(range(total), batches(examples, settings.batch, seed, pad), strict=False):
        loss = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).loss
        loss.backward()
        optimizer.step()
        warmup.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()


def batches(examples: Sequence[Example], size: int, seed: int, pad: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches without end: every epoch has every example once, in an order of its own."""
    epoch = 0
    while True:
        order = list(examples)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        for start in range(0, len(order), size):
            yield collate(order[start : start + size], pad)
        epoch += 1


def collate(examples: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    """Examples padded on the right to the longest: tensors of shape (examples, tokens)."""
    width = max(len(example.tokens) for example in examples)

    def padded(values: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
        return torch.tensor([[*row, *[fill] * (width - len(row))] for row in values])

    return {
        "input_ids": padded([example.tokens for example in examples], pad),
        "attention_mask": padded([[1] * len(example.tokens) for example in examples], 0),
        "labels": padded([example.labels for example in examples], IGNORED),
    }


def save(model: PeftModel, folder: Path, base: str) -> str:
    """Write the adapter as PEFT does and return the SHA-256 of what it computes."""
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return engine_folders.digest(folder)


def versions() -> dict[str, Any]:
    """The libraries whose numbers these are."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}
