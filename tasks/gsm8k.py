"""GSM8K: sums of a few steps in words, asked as they stand."""

from ._exact import final_number, number
from ._rows import BadRow, Row
from ._task import Hub, Licence, Sample, Task


def sample(row: Row) -> Sample:
    answer = row.text("answer").rpartition("####")[2].strip()
    if number(answer) is None:
        raise BadRow("no number in answer")
    return Sample(row.id, f"{row.text('question')} Think step by step, and end with the number.", answer, "")


task = Task(
    about="Sums of a few steps in words. By rule: the number that a reply ends in.",
    samples=Hub("openai/gsm8k", size=1319, config="main", licence=Licence("MIT", shared=True)),
    sample=sample,
    score=final_number,
    plain=True,
)
