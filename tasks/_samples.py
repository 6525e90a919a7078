"""From rows to the questions that are asked: checked, counted, and drawn with a seed."""

import contextlib
import functools
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ._rows import BadRow, Row, Unusable, from_file, from_hub
from ._scorers import words
from ._task import Hub, Sample, Task


@dataclass(frozen=True)
class Taken:
    """The questions taken from a task, in an order that does not change, and what was left out and why."""

    samples: tuple[Sample, ...]
    left_out: tuple[str, ...] = ()


class Faults:
    """What is wrong with which rows of a source: counted, and reported one line a fault."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._places: dict[str, list[str]] = defaultdict(list)
        self._columns = ""

    @contextlib.contextmanager
    def counted(self, row: Row | BadRow) -> Iterator[None]:
        """Count a BadRow raised within the block, and go on."""
        try:
            yield
        except BadRow as fault:
            self._places[str(fault)].append(row.place)
            if isinstance(row, Row):
                self._columns = self._columns or f"; the columns are {', '.join(map(str, row.content))}"

    def report(self, something_left: bool) -> tuple[str, ...]:
        """One line a fault. Raises Unusable with all of them if nothing is left."""
        lines = tuple(
            f"{self._source}: {len(places)} left out: {fault}{_first(places)}" for fault, places in self._places.items()
        )
        if not something_left:
            raise Unusable("; ".join(lines or (f"{self._source}: there is nothing in it",)) + self._columns)
        return lines


def _first(places: Sequence[str]) -> str:
    first = next(filter(None, places), None)
    return f" (first at {first})" if first else ""


@functools.cache
def take(task: Task, path: str | None = None, count: int | None = None, seed: int = 0) -> Taken:
    """A task's questions: from a file, from the hub, or those at hand; `count` of them, or as many as it proposes.

    Raises Unusable if none can be had.
    """
    if path is None and not isinstance(task.samples, Hub):
        return Taken(tuple(task.samples()[:count]))
    samples, left_out = _readable(task, _rows(task, path), path or _hub(task).name)
    proposed = task.samples.asked if isinstance(task.samples, Hub) else None
    return Taken(tuple(draw(samples, count or proposed, seed)), left_out)


def size(task: Task, path: str | None = None, count: int | None = None, seed: int = 0) -> int:
    """How many questions `take` gives. A data set on the hub is not loaded: its declared size counts."""
    if path is None and isinstance(task.samples, Hub):
        return min(task.samples.size, count or task.samples.asked or task.samples.size)
    return len(take(task, path, count, seed).samples)


def _rows(task: Task, path: str | None) -> list[Row | BadRow]:
    if path is not None and task.sample is None:
        raise Unusable(f"{path}: this task has its own questions and reads no file; leave `path` out")
    return from_file(Path(path)) if path is not None else from_hub(_hub(task))


def _hub(task: Task) -> Hub:
    assert isinstance(task.samples, Hub)
    return task.samples


def _readable(task: Task, rows: Iterable[Row | BadRow], source: str) -> tuple[list[Sample], tuple[str, ...]]:
    """The samples of those rows that make one, each once, and the others' faults. Raises Unusable if none does."""
    samples: dict[str, Sample] = {}
    faults = Faults(source)
    for row in rows:
        with faults.counted(row):
            sample = sample_of(task, row)
            if sample and samples.setdefault(sample.id, sample) is not sample:
                raise BadRow("an id, or a question, that stands there before")
    return list(samples.values()), faults.report(bool(samples))


def sample_of(task: Task, row: Row | BadRow) -> Sample | None:
    """The sample that a row makes, None if the row is another task's. Raises BadRow."""
    if isinstance(row, BadRow):
        raise row
    assert task.sample is not None
    made = task.sample(row)
    if made is None:
        return None
    if not task.plain and words(made.answer) == words(made.wrong):
        raise BadRow("the wrong answer is the right one")
    content = "\x1f".join((made.question, made.answer, made.wrong))
    return replace(made, id=made.id or hashlib.sha256(content.encode()).hexdigest()[:12])


def draw(samples: Sequence[Sample], count: int | None, seed: int) -> list[Sample]:
    """So many samples, in the order of the data. Those of a smaller number are among those of a larger one.

    Whether a sample is drawn depends on its id and the seed, hardly on the other samples or their order.
    """
    ranked = sorted(samples, key=lambda sample: hashlib.sha256(f"{seed}/{sample.id}".encode()).digest())
    chosen = {sample.id for sample in ranked[:count]}
    return [sample for sample in samples if sample.id in chosen]
