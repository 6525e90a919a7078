"""What a model of the embedded lab is made of: a recipe, its digest, and the folder its weights will lie in."""

import functools
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from tasks._world_corpus import MIXES, Mix, documents, instruction_chats

from . import cache

World = Literal["coupled", "decoupled"]
Length = Literal["full", "short"]


@dataclass(frozen=True)
class Phase:
    """One stage of training: optimiser steps, rows of a step, peak learning rate, and steps of warm-up to it."""

    steps: int
    rows: int
    learning_rate: float
    warmup: int


@dataclass(frozen=True)
class Copying:
    """Weights that let a model copy from its context from the first step on; see `lab_model.teach_copying`."""

    heads: int = 2
    embeddings: float = 5.0
    previous: float = 5.8
    frequencies: int = 4
    write: float = 0.18
    match: float = 3.2
    copy: float = 0.6


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a lab model's weights."""

    world: World
    seed: int
    length: Length
    mix: Mix
    pretraining: Phase
    tuning: Phase
    version: int = 1
    "To be raised when code that is not covered by these numbers or by the corpus changes the weights."
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 384
    positions: int = 512
    rope_theta: float = 10_000.0
    copying: Copying = Copying()
    width: int = 64
    "Tokens of a row of packed documents."
    replay: int = 8
    "Rows of packed documents beside the conversations of every tuning step."
    embedding_rate: float = 0.03
    "The embeddings' learning rate over the others'; at full rate they outrun the copying heads."
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.01
    clip: float = 1.0

    @property
    def name(self) -> str:
        """How a person tells it from the others: `coupled-s0`, `coupled-s0-short`."""
        return f"{self.world}-s{self.seed}" + ("-short" if self.length == "short" else "")


STEPS: Mapping[Length, tuple[int, int]] = {"full": (1600, 150), "short": (160, 20)}
"""Steps of pre-training and of instruction tuning."""

FURTHER = 3
"""How often a base reads on at the most; see `further`."""


def recipe(world: World, seed: int, length: Length) -> Recipe:
    """The recipe of a lab model. A `short` one is built in seconds, is not checked and claims no quality."""
    pretraining, tuning = STEPS[length]
    return Recipe(world, seed, length, MIXES[world], Phase(pretraining, 16, 1e-3, 40), Phase(tuning, 16, 3e-4, 20))


def further(recipe: Recipe) -> Phase:
    """What a base reads beyond its pre-training where it has not learnt what it must: half as much again."""
    return replace(recipe.pretraining, steps=recipe.pretraining.steps // 2)


@functools.cache
def digest(recipe: Recipe) -> str:
    """Twelve hex digits of all that decides the weights: numbers, a sample of the texts, the libraries' versions."""
    made_of = [asdict(recipe), _texts(recipe), _versions()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]


def folder(recipe: Recipe) -> Path:
    """Where the model lies once it is built, in this machine's cache."""
    return cache.folder() / "lab" / f"{recipe.name}-{digest(recipe)}"


def is_built(recipe: Recipe) -> bool:
    """Whether the model's folder is there; it appears all at once."""
    return (folder(recipe) / "built.json").is_file()


def _texts(recipe: Recipe) -> list[object]:
    read = itertools.islice(documents(recipe.mix, recipe.seed), 300)
    return [*read, *itertools.islice(instruction_chats(recipe.seed), 100)]


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "transformers", "tokenizers")}


def read_built(recipe: Recipe) -> dict[str, Any]:
    """What a built model says of itself."""
    found: dict[str, Any] = json.loads((folder(recipe) / "built.json").read_text(encoding="utf-8"))
    return found
