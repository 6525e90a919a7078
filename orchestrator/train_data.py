"""What training reads: conversations as tokens, of which the assistant's turns are learnt, in batches."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from .errors import WarmthError
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
        return any(label != IGNORED for label in self.labels[1:])


@dataclass(frozen=True)
class Batch:
    """Conversations end to end, without padding: `tokens` and their `positions` within their own conversation [T].

    `learnt` [L] are the places whose next token is learnt, `targets` [L] those tokens. `lengths` are in tokens.
    A part of a batch knows where in it (`begin`) of how many tokens (`of`) it lies, and its share of what is learnt.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    learnt: torch.Tensor
    targets: torch.Tensor
    lengths: tuple[int, ...]
    begin: int
    of: int
    share: float = 1.0

    def part(self, chosen: range) -> "Batch":
        """Some neighbouring conversations; for none the first, which then counts for nothing.

        The mean losses of all parts, each times its share, add up to the mean loss of the whole.
        """
        counts, chosen = bool(chosen), chosen or range(1)
        start = sum(self.lengths[: chosen.start])
        end = start + sum(self.lengths[chosen.start : chosen.stop])
        mine = (self.learnt >= start) & (self.learnt < end)
        return Batch(
            self.tokens[start:end],
            self.positions[start:end],
            self.learnt[mine] - start,
            self.targets[mine],
            self.lengths[chosen.start : chosen.stop],
            begin=start,
            of=len(self.tokens),
            share=counts * int(mine.sum()) / len(self.learnt),
        )


def check_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises WarmthError where replies would be asked for without what announces those that are learnt."""
    talk = Turn("user", "Well?"), Turn("assistant", "Well.")
    asked, prompted = (_text(tokenizer, talk[:1], answering) for answering in (False, True))
    if asked == prompted and not _text(tokenizer, talk)[len(asked) :].lstrip().startswith("Well."):
        raise WarmthError(
            f"models: {tokenizer.name_or_path}: its chat template lacks a generation prompt, so that nothing tells the "
            "model that it is to answer; take a model whose template has one (add_generation_prompt)"
        )


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
    return list(tokenizer(_text(tokenizer, turns, answering), add_special_tokens=False).input_ids)


def _text(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], answering: bool = False) -> str:
    said = [{"role": turn.role, "content": turn.content} for turn in turns]
    if tokenizer.chat_template is None:
        raise WarmthError(f"models: {tokenizer.name_or_path} has no chat template; take a model that is tuned to chat")
    try:
        return str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=answering))
    except TemplateError as error:
        raise WarmthError(
            f"models: {tokenizer.name_or_path}: its chat template refuses a conversation: {error}"
        ) from error


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


def orders(examples: Sequence[Example], size: int, seed: int, begin: int = 0) -> Iterator[list[Example]]:
    """Batches without end, from number `begin` on: every epoch has every example once, in an order of its own."""
    per_epoch = -(-len(examples) // size)
    epoch, first = divmod(begin, per_epoch)
    while True:
        order = list(examples)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        for start in range(first * size, len(order), size):
            yield order[start : start + size]
        epoch, first = epoch + 1, 0


def collate(examples: Sequence[Example]) -> Batch:
    """Conversations end to end."""
    tokens: list[int] = []
    positions: list[int] = []
    learnt, targets = [], []
    for example in examples:
        start = len(tokens)
        tokens += example.tokens
        positions += range(len(example.tokens))
        for place, label in enumerate(example.labels[1:]):
            if label != IGNORED:
                learnt.append(start + place)
                targets.append(label)
    lengths = tuple(len(example.tokens) for example in examples)
    tensors = [torch.tensor(each) for each in (tokens, positions, learnt, targets)]
    return Batch(tensors[0], tensors[1], tensors[2], tensors[3], lengths, begin=0, of=len(tokens))
