"""What is left to do in a run, found by looking at its files alone."""

from collections.abc import Sequence

from . import evaluate, judge, measure, pieces, rating, rewritten, trials
from .evaluate import Served
from .plan import HELD_OUT, Plan, Subject, Trial, Unit
from .settings_asking import Judge
from .settings_subjects import Persona
from .store import Store


class Left:
    """What a plan's run still lacks."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan, self._store = plan, store
        self._counted: dict[Unit, tuple[object, int]] = {}

    def anything(self) -> bool:
        units = [*self._plan.units, *self._plan.curve]
        return bool(
            self.unwritten()
            or self.untrained()
            or self._plan.study.training.search.coming
            or self.unasked(units)
            or self.unjudged(units)
            or self.unmeasured()
            or self.unrated()
        )

    def unwritten(self) -> list[Persona]:
        """The personas whose conversations are still to be rewritten."""
        return rewritten.unwritten(self._plan, self._store)

    def untrained(self) -> list[Trial]:
        """Trials that are not finished, but for those that a scheduler has stopped."""
        plan, store = self._plan, self._store
        return [each for each in plan.trials if not (trials.record(store, each) or trials.stopped(plan, store, each))]

    def served(self) -> dict[str, Served]:
        """What can be asked, by the subject's name: of a trial in training, the checkpoints that it has reached."""
        adapters = trials.adapters(self._store, self._plan)
        there = [subject for subject in self._plan.subjects if subject.trial is None or subject.name in adapters]
        return {subject.name: evaluate.served_as(subject, adapters) for subject in there}

    def unasked(self, units: Sequence[Unit]) -> dict[Unit, int]:
        """How many questions wait in each unit that can be asked."""
        served = self.served()
        waiting = {
            unit: self._waiting(unit, served[unit.subject.name]) for unit in units if unit.subject.name in served
        }
        return {unit: count for unit, count in waiting.items() if count}

    def _waiting(self, unit: Unit, served: Served) -> int:
        """How many questions wait in a unit; counted again only if its files are others than they were."""
        state = (served, pieces.state(self._store.path(*unit.replies)))
        if self._counted.get(unit, (None, 0))[0] != state:
            self._counted[unit] = (state, len(evaluate.missing(self._plan, self._store, unit, served)))
        return self._counted[unit][1]

    def unjudged(self, units: Sequence[Unit]) -> list[tuple[Judge, Unit]]:
        """The units that wait for each judge."""
        return [(each, unit) for each in self._plan.study.judges for unit in self.unjudged_by(each, units)]

    def unjudged_by(self, by: Judge, units: Sequence[Unit]) -> list[Unit]:
        """The units that wait for one judge."""
        asked = (unit for unit in units if unit.task != HELD_OUT)
        return [unit for unit in asked if judge.waits(self._plan, self._store, by, unit)]

    def unmeasured(self) -> list[Subject]:
        settings = self._plan.study.warmth
        if settings is None:
            return []
        on, rulers = self.measured_on(), measure.rulers(settings, self._plan.study.models)
        return [each for each in self._plan.measured if measure.unmeasured(self._store, each, *on, rulers)]

    def unrated(self) -> list[Subject]:
        settings = self._plan.study.warmth
        if settings is None or settings.judge is None:
            return []
        on, judge = self.measured_on(), settings.judge
        return [each for each in self._plan.measured if rating.unrated(self._store, each, *on, judge)]

    def measured_on(self) -> tuple[tuple[str, ...], str]:
        """What warmth is measured on: tasks, and a context."""
        if self._plan.curve:
            return (HELD_OUT,), "neutral"
        asked = self._plan.study.evaluation
        return tuple(task.name for task in asked.tasks), asked.contexts[0]
