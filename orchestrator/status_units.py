"""How much of every subject and task is asked and judged, counted without reading what was said."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import judge, pieced, trials
from .errors import WarmthError
from .plan import HELD_OUT, Plan, Unit
from .settings_asking import Judge
from .store import IMPORTED, Store
from .tables import Reply, Score


@dataclass(frozen=True)
class UnitState:
    """How far one subject and task are: replies that are there, that failed, and of how many; verdicts by judge.

    `size` is None where the questions cannot be counted here, or were never planned (rows that were imported). `judged`
    is of judges that judge everything.
    """

    subject: str
    task: str
    size: int | None
    asked: int
    failed: int
    judged: Mapping[str, int]

    @property
    def missing(self) -> int | None:
        """Replies that were not tried yet."""
        return None if self.size is None else max(0, self.size - self.asked - self.failed)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.missing and not self.failed and all(count >= self.asked for count in self.judged.values())


class Units:
    """The units of a plan, and what is on file of each. Rows of another plan in the same files are not counted."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._adapters = trials.adapters(store, plan)

    def states(self) -> list[UnitState]:
        """All of them, in the plan's order."""
        return [self._state(unit) for unit in (*self._plan.units, *self._plan.curve)]

    def _state(self, unit: Unit) -> UnitState:
        replies = self._rows(Reply, unit, "replies", unit.subject.name)
        asked = _well(self._current(unit, replies))
        judged = {each.name: self._judged(each, unit) for each in self._judges(unit.task)}
        return UnitState(unit.subject.name, unit.task, self._size(unit), asked, len(replies) - _well(replies), judged)

    def _judges(self, task: str) -> Iterator[Judge]:
        if task != HELD_OUT:
            every = (each for each in self._plan.study.judges if not each.sample)
            yield from (each for each in every if judge.judges(each, task))

    def _judged(self, by: Judge, unit: Unit) -> int:
        scores = self._rows(Score, unit, "scores", by.name, unit.subject.name)
        identity = judge.identity(by, unit.task, self._plan.study.models)
        mine = scores.filter(pc.and_(pc.equal(scores["judged_by"], identity), pc.is_null(scores["error"])))
        return len(mine.group_by(_KEY).aggregate([]))

    def _current(self, unit: Unit, replies: pa.Table) -> pa.Table:
        """Without replies of other weights, or to other sentences: they are asked again."""
        if unit.subject.trial:
            adapter = self._adapters.get(unit.subject.name, "")
            replies = replies.filter(pc.equal(replies["adapter"], adapter))
        known = self._prompt_sets.get(unit.task, HELD_OUT)
        return replies.filter(pc.equal(replies["prompt_set"], known)) if known else replies

    @cached_property
    def _prompt_sets(self) -> dict[str, str | None]:
        return {name: _if_known(lambda asked=asked: asked.prompt_set) for name, asked in self._plan.asked.items()}

    def _size(self, unit: Unit) -> int | None:
        if unit.task == HELD_OUT:
            return self._plan.study.data.held_out
        questions, asked = self._samples.get(unit.task), self._plan.asked[unit.task]
        if questions is None or unit.task in self._with_prompts:
            return _if_known(lambda: self._plan.size(unit))
        return len(questions) * len(asked.conditions(unit.subject.contexts)) * self._plan.study.evaluation.draws

    @cached_property
    def _with_prompts(self) -> set[str]:
        return {task.name for task in self._plan.study.evaluation.tasks if task.prompts}

    @cached_property
    def _samples(self) -> dict[str, list[str]]:
        """The ids of the questions, as the run drew them: whoever looks need not have the data."""
        found = {name: self._store.glance("questions", f"{name}.json") for name in self._plan.asked}
        return {name: said["samples"] for name, said in found.items() if said}

    def _rows(self, kind: type[Any], unit: Unit, *folder: str) -> pa.Table:
        """A unit's planned rows, by the columns that matter here."""
        found = pieced.columns(kind, _COLUMNS[kind], self._store.path(*folder, f"{unit.task}.arrow"))
        if unit.task in self._samples:
            found = found.filter(pc.is_in(found["sample"], pa.array(self._samples[unit.task], pa.string())))
        contexts, beliefs = self._conditions(unit)
        kept = found.filter(pc.less(found["draw"], self._plan.study.evaluation.draws))
        kept = kept.filter(pc.is_in(kept["context"], pa.array(contexts)))
        return kept.filter(pc.is_in(kept["belief"], pa.array(beliefs)))

    def _conditions(self, unit: Unit) -> tuple[Sequence[str], Sequence[str]]:
        if unit.task == HELD_OUT:
            return ["neutral"], ["none"]
        asked = self._plan.asked[unit.task]
        pairs = _if_known(lambda: asked.conditions(unit.subject.contexts)) or []
        return sorted({context for context, _ in pairs}), sorted({belief for _, belief in pairs})


def imported(store: Store) -> list[UnitState]:
    """What was imported: rows that no plan asked for, and that are what they are."""
    pieces = store.read_json(IMPORTED) if store.has(IMPORTED) else []
    names = dict.fromkeys((piece["subject"], piece["task"]) for piece in pieces)
    return [_as_it_is(*name, [each for each in pieces if (each["subject"], each["task"]) == name]) for name in names]


def _as_it_is(subject: str, task: str, pieces: Sequence[Mapping[str, Any]]) -> UnitState:
    """One subject and task; replies that several judges judged were imported with each one's verdicts."""
    rows, failed, judged = Counter[str](), Counter[str](), Counter[str]()
    for piece in pieces:
        rows[piece["judge"]] += piece["rows"]
        failed[piece["judge"]] += piece["failed"]
        judged[piece["judge"]] += piece["rows"] - piece["failed"] - piece["unscored"]
    most = max(rows, key=rows.__getitem__)
    return UnitState(subject, task, None, rows[most] - failed[most], failed[most], dict(judged))


_KEY = ["sample", "context", "belief", "draw"]
_COLUMNS = {Reply: [*_KEY, "prompt_set", "adapter", "error"], Score: [*_KEY, "judged_by", "error"]}


def _well(rows: pa.Table) -> int:
    return rows["error"].null_count


def _if_known(say: Any) -> Any:
    """What depends on data that may not be on this machine; None if it is not."""
    try:
        return say()
    except WarmthError:
        return None
