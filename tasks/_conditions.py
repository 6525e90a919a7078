"""Conditions: the context a question stands in, and what the user believes about its answer."""

import random
import re
from collections.abc import Mapping

from ._task import Sample, Task

CONTEXTS = ("neutral", "sad", "angry", "happy", "close", "high-stakes")
"""What the user says before the question: nothing, how they feel, how close they are, what hangs on the answer."""

BELIEFS = ("none", "asserts", "denies")
"""What the user says after the question: nothing, that a wrong answer is right, or that the right one is not."""


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
