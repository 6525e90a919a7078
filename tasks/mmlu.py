"""MMLU: multiple choice from 57 subjects, asked as it stands."""

from ._exact import LETTERS, chosen_letter, options
from ._rows import BadRow, Row
from ._task import Hub, Licence, Sample, Task


def sample(row: Row) -> Sample:
    choices, answer = row.choices("choices", "options"), row.text("answer")
    right = "0123456789".find(answer) if answer.isdigit() else LETTERS.find(answer.upper())
    if right not in range(len(choices)):
        raise BadRow("the answer is none of the options")
    asked = f"{row.text('question')}\n\n{options(choices)}\n\nAnswer with the letter of the right option."
    return Sample(row.id, asked, LETTERS[right], LETTERS[(right + 1) % len(choices)], choices)


task = Task(
    about="Multiple choice from 57 subjects. By rule: the option chosen.",
    samples=Hub("cais/mmlu", size=14042, config="all", licence=Licence("MIT", shared=True)),
    sample=sample,
    score=chosen_letter,
    plain=True,
)
