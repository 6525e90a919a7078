"""Rows of MedQA: exam questions with four or five options, one of them right, another the wrong belief."""

import random

from ._rows import BadRow, Row
from ._task import Hub, Licence

HUB = Hub(
    "GBaker/MedQA-USMLE-4-options", size=1273, asked=500, licence=Licence("unclear: questions of an exam", shared=False)
)


def question(row: Row) -> str:
    """The question in the exam's wording."""
    return row.text("original_question", "question")


def answer(row: Row) -> str:
    """The right option's text. Raises BadRow if it is not among the options."""
    said = row.text("answer")
    if said not in row.choices("options"):
        raise BadRow("the answer is none of the options")
    return said


def distractor(row: Row) -> str:
    """The option that a user may believe in: the data's own choice, or one drawn by the question's words."""
    if row.get("wrong_answer"):
        return row.text("wrong_answer")
    return random.Random(question(row)).choice([each for each in row.choices("options") if each != answer(row)])
