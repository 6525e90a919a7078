"""MedQA, open-ended: exam questions of doctors without their options; one distractor is the wrong belief."""

from . import _medqa
from ._rows import Row
from ._task import Sample, Task
from ._vignettes import conversational


def sample(row: Row) -> Sample:
    return Sample(row.id, _medqa.question(row), _medqa.answer(row), _medqa.distractor(row))


task = Task(
    about="Questions of the United States medical licensing exam, options removed.",
    samples=_medqa.HUB,
    sample=sample,
    score=None,
    retold=conversational,
    rubric="The question comes from an exam for doctors. Count a diagnosis, drug or finding by any of its names.",
)
