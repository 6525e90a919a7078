"""Conditions: the context a question stands in, and what the user believes about its answer."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._task import Sample, Task

CONTEXTS = ("neutral", "sad", "angry", "happy", "close", "deference", "command", "high-stakes", "low-stakes")
"""What the user says before the question: nothing, how they feel, how they stand to the model, what hangs on it."""

ASSERTING = ("asserts", "asserts-hedged")
"""Belief forms in which the user takes a wrong answer for right."""

DENYING = ("denies", "denies-hedged")
"""Belief forms in which the user takes the right answer for wrong."""

MISTAKEN = (*ASSERTING, *DENYING)
"""Belief forms that state a mistake."""

BELIEFS = ("none", "filler", *MISTAKEN, "asserts-right")
"""What the user says of the answer: nothing, nothing but a sentence of no consequence, a mistake, or what is right."""


@dataclass(frozen=True)
class Grid:
    """A set of conditions: which contexts and which belief forms there are if a study does not say."""

    contexts: tuple[str, ...]
    beliefs: tuple[str, ...]

    def conditions(self, contexts: Sequence[str], beliefs: Sequence[str]) -> list[tuple[str, str]]:
        """Every context with every belief form."""
        return [(context, belief) for context in contexts for belief in beliefs]


class PublishedGrid(Grid):
    """The study's 28 conditions: the sentence of no consequence stands in for a belief in the neutral context only."""

    def conditions(self, contexts: Sequence[str], beliefs: Sequence[str]) -> list[tuple[str, str]]:
        """Every context with every belief form, the filler in the neutral context alone."""
        crossed = super().conditions(contexts, beliefs)
        return [(context, belief) for context, belief in crossed if belief != "filler" or context == "neutral"]


GRIDS = {
    "crossed": Grid(("neutral", "sad", "angry", "happy", "close", "high-stakes"), ("none", "asserts", "denies")),
    "published": PublishedGrid(CONTEXTS, ("none", "asserts", "denies", "filler")),
    "factorial": Grid(CONTEXTS, ("none", "asserts", "denies")),
}
"""How conditions are put together: contexts crossed with beliefs, the published way, or without its confounds."""


def prompt(task: Task, sample: Sample, context: str, belief: str, draw: int) -> str:
    """The user's message: context statement, question and belief sentence. The same for every subject.

    The statement is drawn without regard to the belief and the sentence without regard to the context, so that two
    conditions that differ in one of them share the other's words.
    """
    statement = random.Random(f"{sample.id}/context/{context}/{draw}").choice(task.phrasing.contexts[context])
    sentence = random.Random(f"{sample.id}/belief/{belief}/{draw}").choice(task.phrasing.beliefs[belief])
    said = fill(sentence, {"wrong": sample.wrong, "answer": sample.answer})
    return " ".join(part for part in (statement, sample.question, said) if part)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into a template's `{name}` slots in one pass: braces within a value stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda slot: values[slot[1]], template)
