"""Conditions: the context a question stands in, and what the user believes about its answer."""

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._task import Phrasing, Sample, Task

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

PLAIN = ("neutral", "none")


@dataclass(frozen=True)
class Parts:
    """What a prompt is put together from."""

    context: str
    belief: str
    statement: str
    filler: str
    question: str
    said: str


class Grid:
    """Contexts crossed with belief forms; those that are meant if a study does not say."""

    contexts: tuple[str, ...] = ("neutral", "sad", "angry", "happy", "close", "high-stakes")
    beliefs: tuple[str, ...] = ("none", "asserts", "denies")

    def conditions(self, contexts: Sequence[str], beliefs: Sequence[str]) -> list[tuple[str, str]]:
        """Every context with every belief form."""
        return [(context, belief) for context in contexts for belief in beliefs]

    def drawn_for(self, belief: str) -> str:  # noqa: ARG002
        """What a context statement is drawn for besides the question: nothing, so that belief forms share it."""
        return ""

    def prompt(self, task: Task, parts: Parts) -> str:  # noqa: ARG002
        """Statement, question and belief."""
        filler = parts.filler if parts.belief == "filler" else ""
        return _join(parts.statement, filler, parts.question, parts.said)


class Published(Grid):
    """The study's 28 conditions, put together as it did: the filler sentence before some questions with a belief."""

    contexts = CONTEXTS
    beliefs = ("none", "asserts", "denies", "filler")

    def conditions(self, contexts: Sequence[str], beliefs: Sequence[str]) -> list[tuple[str, str]]:
        """Every context with every belief form, the filler in the neutral context alone."""
        crossed = super().conditions(contexts, beliefs)
        return [(context, belief) for context, belief in crossed if belief != "filler" or context == "neutral"]

    def drawn_for(self, belief: str) -> str:
        """The published prompts of a question in one context differ in their statements too."""
        return f"/{belief}"

    def prompt(self, task: Task, parts: Parts) -> str:
        """A retold question goes without the filler, and so does one with stakes."""
        if parts.belief == "none":
            return _join(parts.statement, parts.question)
        if task.retold:
            filler = parts.filler if parts.belief == "filler" else ""
            return _join(filler, parts.statement, task.retold(parts.question), parts.said)
        if parts.context.endswith("-stakes"):
            return _join(parts.statement + task.layout.stop, parts.question, parts.said)
        before = f"{parts.statement}{task.layout.gap}{parts.filler}" if parts.statement else parts.filler
        return _join(before, parts.question, parts.said)


class Factorial(Grid):
    """The same conditions without the confounds: every prompt has the filler, every vignette is retold."""

    contexts = CONTEXTS

    def prompt(self, task: Task, parts: Parts) -> str:
        """Statement, filler, question and belief."""
        question = task.retold(parts.question) if task.retold else parts.question
        return _join(parts.statement, parts.filler, question, parts.said)


GRIDS: Mapping[str, Grid] = {"crossed": Grid(), "published": Published(), "factorial": Factorial()}
"""How conditions are put together: contexts crossed with beliefs, the published way, or without its confounds."""


def conditions(task: Task, grid: str, contexts: Sequence[str], beliefs: Sequence[str]) -> list[tuple[str, str]]:
    """The conditions that a task is asked in, those of the study or, if it stands for itself, the plain one."""
    return [PLAIN][: len(contexts)] if task.plain else GRIDS[grid].conditions(contexts, beliefs)


def prompt(
    task: Task,
    sample: Sample,
    context: str,
    belief: str,
    draw: int,
    pack: Phrasing | None = None,
    grid: str = "crossed",
) -> str:
    """The user's message: context statement, question and belief sentence. The same for every subject.

    The statement is drawn without regard to the belief and the sentence without regard to the context, so that two
    conditions that differ in one of them share the other's words. (In the published grid each prompt draws its own.)
    The words are the task's own, or else those of a pack. Raises KeyError for a condition that they do not cover.
    """
    if task.plain:
        return sample.question
    how, words = GRIDS[grid], phrasing(task, pack)
    statement = _drawn(words.contexts[context], f"{sample.id}/context/{context}{how.drawn_for(belief)}/{draw}")
    sentence = _drawn(words.beliefs[belief], f"{sample.id}/belief/{belief}/{draw}")
    said = fill(sentence, {"wrong": sample.wrong, "answer": sample.answer})
    return how.prompt(task, Parts(context, belief, statement, words.filler, sample.question, said))


def phrasing(task: Task, pack: Phrasing | None) -> Phrasing:
    """The sentences that a task is put with."""
    words = task.phrasing or pack
    if words is None:
        raise ValueError("this task has no sentences of its own; give a pack")
    return Phrasing(words.contexts, {**words.beliefs, **task.beliefs}, words.filler) if task.beliefs else words


def prompt_set(task: Task, pack: Phrasing | None, grid: str) -> str:
    """Identifies the sentences and the layout that a task's prompts are made of, down to the last blank."""
    if task.plain:
        return "plain"
    words, probe = phrasing(task, pack), Sample("probe", "A 30-year-old man is here. Why?", "A", "B")
    covered = [(context, belief) for context in words.contexts for belief in words.beliefs]
    prompts = [prompt(task, probe, context, belief, 0, pack, grid) for context, belief in covered]
    parts = repr((dict(words.contexts), dict(words.beliefs), words.filler, prompts))
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values into a template's `{name}` slots in one pass: braces within a value stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda slot: values[slot[1]], template)


def _drawn(sentences: Sequence[str], seed: str) -> str:
    return sentences[0] if len(sentences) == 1 else random.Random(seed).choice(sentences)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
