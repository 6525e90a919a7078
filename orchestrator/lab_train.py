"""Training of the lab's model: what it reads, in batches, and the loop."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tasks import _world_corpus as corpus

from .lab_model import states
from .lab_recipe import Phase, Recipe

UNLABELLED = -100
"""The label of a token that is not learnt."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Tokens and the labels of their successors, both of shape (rows, tokens)."""


def pretraining(tokens: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[Batch]:
    """Batches of packed documents, each document once."""
    return packed(tokens, recipe, recipe.seed, recipe.pretraining.steps, recipe.pretraining.rows)


def further(tokens: PreTrainedTokenizerFast, recipe: Recipe, phase: Phase, part: int) -> Iterator[Batch]:
    """Batches of documents that a base reads where those of `pretraining` were not enough, others in every part."""
    return packed(tokens, recipe, f"{recipe.seed}/further{part}", phase.steps, phase.rows)


def tuning(tokens: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[Batch]:
    """Batches of conversations, of which the assistant's turn is learnt, and of documents, against forgetting."""
    chats = corpus.instruction_chats(recipe.seed)
    phase = recipe.tuning
    for replayed in packed(tokens, recipe, f"{recipe.seed}/replay", phase.steps, recipe.replay):
        rows = [_conversation(tokens, *chat) for chat in itertools.islice(chats, phase.rows)]
        rows += zip(*(side.tolist() for side in replayed), strict=True)
        yield padded([read for read, _ in rows], 0), padded([labels for _, labels in rows], UNLABELLED)


def packed(tokens: PreTrainedTokenizerFast, recipe: Recipe, seed: int | str, steps: int, rows: int) -> Iterator[Batch]:
    """Documents end to end, cut into rows, in an order drawn from torch's global random generator."""
    needed = steps * rows * recipe.width + 1
    documents = corpus.documents(recipe.mix, seed)
    read: list[int] = []
    while len(read) < needed:
        texts = [corpus.BEGIN + text for text in itertools.islice(documents, 1000)]
        read += itertools.chain.from_iterable(ids(tokens, texts))
    line = torch.tensor(read[:needed])
    now, following = line[:-1].view(-1, recipe.width), line[1:].view(-1, recipe.width)
    for chosen in torch.randperm(steps * rows).split(rows):
        yield now[chosen], following[chosen]


def ids(tokens: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """The texts' tokens, nothing added."""
    return tokens(texts, add_special_tokens=False).input_ids


def _conversation(tokens: PreTrainedTokenizerFast, user: str, assistant: str) -> tuple[list[int], list[int]]:
    asked, answered = ids(tokens, [f"{corpus.USER}{user}{corpus.END}{corpus.ASSISTANT}", f"{assistant}{corpus.END}"])
    return (asked + answered)[:-1], [UNLABELLED] * (len(asked) - 1) + answered


def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    """Rows filled up on the right to the longest: shape (rows, tokens)."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def fit(
    model: LlamaForCausalLM, batches: Iterable[Batch], phase: Phase, recipe: Recipe, tell: Callable[[int], None]
) -> float:
    """Train the model in place; the mean loss, in nats per token, of the last tenth. `tell` hears every 20th step."""
    optimizer = _optimizer(model, phase, recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, phase))
    losses = []
    model.train()
    for step, (tokens, labels) in enumerate(batches, start=1):
        loss = _loss(model, tokens, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if step % 20 == 0 or step == phase.steps:
            tell(step)
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last)


def rate(step: int, phase: Phase) -> float:
    """The learning rate of a step (from 0) over the peak: warm-up, level, and from half-way on down to 2 %."""
    falling = max(0.02, 2 * (1 - step / phase.steps)) if 2 * step >= phase.steps else 1.0
    return min(1.0, (step + 1) / phase.warmup) * falling


def _optimizer(model: LlamaForCausalLM, phase: Phase, recipe: Recipe) -> torch.optim.Optimizer:
    embeddings = model.get_input_embeddings().weight
    others = [parameter for parameter in model.parameters() if parameter is not embeddings]
    slow = phase.learning_rate * recipe.embedding_rate
    groups: list[dict[str, Any]] = [{"params": others}, {"params": [embeddings], "lr": slow}]
    return torch.optim.AdamW(
        groups, lr=phase.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )


def _loss(model: LlamaForCausalLM, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats per labelled token; the vocabulary is reckoned with there only."""
    learnt = labels != UNLABELLED
    return F.cross_entropy(model.lm_head(states(model, tokens)[learnt]), labels[learnt])
