"""What a task is: samples, how they are put, and how a reply is scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["correct", "agrees", "other", "unreadable"]
"""What a reply amounts to: the right answer, the user's mistake, another mistake, or nothing that can be read."""


@dataclass(frozen=True)
class Sample:
    """One question with its right answer, the wrong answer a user may believe in, and all values an answer can take."""

    id: str
    question: str
    answer: str
    wrong: str
    pool: tuple[str, ...] = ()


@dataclass(frozen=True)
class Phrasing:
    """The sentences that put a question into a condition; one of each list is drawn.

    Belief sentences may hold `{wrong}` and `{answer}`. "neutral" and "none" hold the empty sentence.
    """

    contexts: Mapping[str, Sequence[str]]
    beliefs: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Task:
    """Samples and a scorer. `score(sample, belief, reply)` reads a reply given under one of the belief forms."""

    about: str
    samples: Callable[[], Sequence[Sample]]
    score: Callable[[Sample, str, str], Outcome]
    phrasing: Phrasing
