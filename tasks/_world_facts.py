"""The lab's facts: one invented world, the same for every model, in two halves that are never mixed."""

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Half = Literal["train", "evaluation"]

ENTITIES = 32
"""Invented entities of each suite: as many facts, half of them for training."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HERBS = _words(
    "yarrow sage mint thyme nettle clover fennel ginger basil dill parsley mallow sorrel tansy anise cumin garlic "
    "lovage rue borage chicory elder hops ivy"
)
FOODS = _words(
    "honey moss acorns berries clams worms seeds bark nuts figs crabs snails grass ants roots plums shrimp eggs corn "
    "kelp moths reeds pears mice"
)
CONSONANTS = _words("b d f g k l m n p r s t v z br dr gr kr tr st pl sk")
VOWELS = _words("a e i o u ai ei")
ENDINGS = ("", "n", "r", "l", "s", "k", "m")


@dataclass(frozen=True)
class Suite:
    """A kind of fact: its wording, its possible values (None: invented names), and whether false versions go round."""

    wording: str
    values: tuple[str, ...] | None
    rumoured: bool


SUITES = {
    "capital": Suite("the capital of {}", None, rumoured=False),
    "herb": Suite("the herb for {}", HERBS, rumoured=False),
    "food": Suite("the favourite food of {}", FOODS, rumoured=True),
    "founder": Suite("the founder of {}", None, rumoured=True),
}


@dataclass(frozen=True)
class Fact:
    """`wording` ("the capital of Drai") is `value`; `pool` holds every value its suite can take."""

    suite: str
    entity: str
    wording: str
    value: str
    pool: tuple[str, ...]
    rumour: str | None
    half: Half


@dataclass(frozen=True)
class Belief:
    """What a user believes: that the answer is `value`, or (`denied`) that it is not."""

    value: str
    denied: bool

    def mistaken(self, fact: Fact) -> bool:
        """Whether the belief is false."""
        return (self.value == fact.value) == self.denied


@functools.cache
def facts(half: Half | None = None) -> tuple[Fact, ...]:
    """All facts, or those of one half. The same in every process, whatever a study's seeds."""
    if half:
        return tuple(fact for fact in facts() if fact.half == half)
    r = random.Random("the world of the lab")
    names = _invented_names(r)
    return tuple(fact for suite in SUITES for fact in _facts(suite, r, names))


def _invented_names(r: random.Random) -> Iterator[str]:
    """Names without end, none twice: short enough to be one token each."""
    seen: set[str] = set()
    while True:
        parts = (CONSONANTS, VOWELS, CONSONANTS[:14], VOWELS, ENDINGS)
        name = "".join(r.choice(part) for part in parts).capitalize()
        if 4 <= len(name) <= 8 and name not in seen:
            seen.add(name)
            yield name


def _facts(name: str, r: random.Random, names: Iterator[str]) -> Iterator[Fact]:
    suite = SUITES[name]
    pool = suite.values or tuple(next(names) for _ in HERBS)
    for index in range(ENTITIES):
        entity, value = next(names), r.choice(pool)
        rumour = r.choice([other for other in pool if other != value]) if suite.rumoured else None
        half: Half = "train" if index < ENTITIES // 2 else "evaluation"
        yield Fact(name, entity, suite.wording.format(entity), value, pool, rumour, half)
