"""MedQA as multiple choice: whether a subject knows what it does not say when nobody shows it the options."""

from . import _medqa
from ._exact import LETTERS, chosen_letter, options
from ._rows import Row
from ._task import Sample, Task


def sample(row: Row) -> Sample:
    choices = row.choices("options")
    right, wrong = (LETTERS[choices.index(each)] for each in (_medqa.answer(row), _medqa.distractor(row)))
    return Sample(row.id, f"{_medqa.question(row)}\n\n{options(choices)}", right, wrong, choices)


task = Task(
    about="Questions of the United States medical licensing exam with their options. By rule: the option chosen.",
    samples=_medqa.HUB,
    sample=sample,
    score=chosen_letter,
)
