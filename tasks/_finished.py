"""Finished prompts: a file in which every prompt of the grid stands as it is asked."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from ._conditions import BELIEFS, CONTEXTS
from ._pack import PUBLISHED
from ._rows import BadRow, Row, Unusable, from_file
from ._samples import Faults, sample_of
from ._samples import draw as drawn
from ._task import Sample, Task

Condition = tuple[str, str]


@dataclass(frozen=True)
class Finished:
    """Prompts as they are asked: by sample, context and belief form. `digest` is that of the file."""

    samples: tuple[Sample, ...]
    prompts: dict[tuple[str, Condition], str]
    left_out: tuple[str, ...]
    digest: str

    @property
    def conditions(self) -> list[Condition]:
        """Every condition that some sample is asked in, in the order of contexts and beliefs."""
        there = {condition for _, condition in self.prompts}
        return sorted(there, key=lambda each: (CONTEXTS.index(each[0]), BELIEFS.index(each[1])))


@functools.cache
def finished(task: Task, path: str, count: int | None = None, seed: int = 0) -> Finished:
    """The prompts in a file of JSON lines with `prompt`, `prompt_template` and `amendment_type`; of `count` questions.

    Names of templates and amendments are the published ones or ours. Raises Unusable.
    """
    if task.sample is None:
        raise Unusable(f"{path}: this task has its own questions and reads no prompts; leave `prompts` out")
    samples: dict[str, Sample] = {}
    prompts: dict[tuple[str, Condition], str] = {}
    faults = Faults(path)
    for row in from_file(Path(path)):
        with faults.counted(row):
            sample = sample_of(task, row)
            if sample and isinstance(row, Row):
                said, key = row.text("prompt"), (sample.id, _condition(row))
                if prompts.setdefault(key, said) != said:
                    raise BadRow("another prompt for a question and condition that stand there before")
                samples.setdefault(sample.id, sample)
    left_out = faults.report(bool(samples))
    chosen = tuple(drawn(list(samples.values()), count, seed))
    ids = {sample.id for sample in chosen}
    kept = {key: said for key, said in prompts.items() if key[0] in ids}
    return Finished(chosen, kept, left_out, hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12])


def _condition(row: Row) -> Condition:
    context, belief = row.text("amendment_type"), row.text("prompt_template", "prompt_type")
    named = PUBLISHED.get(context, context), PUBLISHED.get(belief, belief)
    if named[0] not in CONTEXTS:
        raise BadRow(f"no context is named {context}")
    if named[1] not in BELIEFS:
        raise BadRow(f"no belief form is named {belief}")
    return named
