"""The stage that asks: subjects are served, proven, asked and judged."""

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Self

from . import attest_reference, costs, endpoint, engine_choice, evaluate, judge, lock, trials
from .attest_watch import Watch
from .cluster import Room
from .left import Left
from .plan import Plan, Unit
from .settings import SERVED
from .settings_asking import Judge
from .stages_share import Sharing
from .store import Store

More = Callable[[Collection[str]], Sequence[Unit] | None]
"""Units that an endpoint with the models of these names can be asked next; None if there are none."""


class Asking:
    """Gets replies and verdicts. Ray is up."""

    def __init__(self, plan: Plan, store: Store, left: Left, sharing: Sharing) -> None:
        self._plan, self._store, self._left, self._sharing = plan, store, left, sharing
        self._study, self._display = plan.study, sharing.display
        self.faults: dict[str, str] = {}
        "What was not served as it is, by the name it is served under, and what it looks like."

    def within(self, room: Room) -> Self:
        """The same, kept to a part of the cluster; what it finds at fault is told here too."""
        beside = copy.copy(self)
        beside._sharing = self._sharing.within(room)
        return beside

    def ask(self, units: Sequence[Unit], more: More = lambda _: None) -> None:
        """Get every missing reply and verdict of these units: as many models at a time as there is room for.

        Where that is all of them at once, the endpoint stays for what there is `more`.
        """
        gpus = self._study.resources.gpus_per_replica or 1
        names, room = self._models_to_ask(units), max(1, self._sharing.room.slots(gpus))
        hosted = [model.name for model in self._study.models if model.hosted and model.name in names]
        here = [name for name in names if name not in hosted]
        for start in range(0, max(len(here), 1), room):
            together = here[start : start + room] + (hosted if start == 0 else [])
            own = [unit for unit in units if unit.subject.model.name in together]
            self._ask_of(own, more if len(here) <= room else lambda _: None)

    def refer(self, waiting: Iterable[Unit]) -> None:
        """What these units' subjects should say, if it is not on file; before an engine takes the GPUs."""
        missing = attest_reference.missing(self._plan, self._store, {unit.subject for unit in waiting})
        if missing:
            stage = self._display.stage("refer", len(missing), "subjects")
            referee = (self._plan, self._store.folder)
            self._sharing.out(attest_reference.Referee, referee, dict.fromkeys(missing, 1), stage, gpus=1)

    def attest(self, units: Sequence[Unit], url: str, key: str | None) -> None:
        """Examine what these units ask as it is served now; the list of models says what was found."""
        names = endpoint.needed(self._study, units)
        engine = engine_choice.named(endpoint.engine_of(self._study, names))
        watch = Watch(self._plan, self._store, url, engine, self._display, key)
        watch.begin(units)
        for name, fault in watch.faults.items():
            self._display.say(f"{name} is NOT what it is called: {fault}")

    def _models_to_ask(self, units: Sequence[Unit]) -> list[str]:
        waiting = [*self._left.unasked(units), *(unit for _, unit in self._left.unjudged(units))]
        return list(dict.fromkeys(unit.subject.model.name for unit in waiting))

    def _ask_of(self, units: Sequence[Unit], more: More) -> None:
        waiting = alternating(self._left.unasked(units))
        by_own = [each for each in self._study.judges if each.url == SERVED]
        asking = waiting or (by_own and self._left.unjudged(units))
        names = endpoint.needed(self._study, list(waiting) or units) if asking else ()
        self.refer(waiting)
        with endpoint.serving(self._study, self._store, names, self._display, room=self._sharing.kept_to) as url:
            self._ask_at(url, names, units)
            while (landed := more(names)) is not None:
                self._ask_at(url, names, landed)

    def _ask_at(self, url: str, names: Collection[str], units: Sequence[Unit]) -> None:
        """Ask these units at an endpoint that is up with the models of these names, and have them judged."""
        if waiting := alternating(self._left.unasked(units)):
            lock.freeze(self._plan, self._store)
            self._ask_watched(waiting, url, engine_choice.named(endpoint.engine_of(self._study, names)))
            costs.check(self._study, self._store)
        for each in self._study.judges:
            self._judge(each, units, url)

    def _ask_watched(self, waiting: dict[Unit, int], url: str, engine: str) -> None:
        """Ask those that are served as they are; see `attest_watch`."""
        watch = Watch(self._plan, self._store, url, engine, self._display)
        certificates, adapters = watch.begin(waiting), trials.adapters(self._store, self._plan)
        stage = self._display.stage("ask", sum(waiting.values()), "replies")
        asker = (self._plan, self._store.folder, url, adapters, self._study.resources.in_flight, certificates)
        self._sharing.out(evaluate.Asker, asker, waiting, stage, watch)
        watch.check()
        self.faults |= watch.faults

    def _judge(self, by: Judge, units: Sequence[Unit], url: str) -> None:
        waiting = dict.fromkeys(self._left.unjudged_by(by, units), 1)
        if waiting:
            stage = self._display.stage(f"judge {by.name}", len(waiting), "units")
            scorer = (by, self._plan, self._store.folder, url, self._study.resources.in_flight)
            self._sharing.out(judge.Scorer, scorer, waiting, stage)
            costs.check(self._study, self._store)


def alternating(waiting: Mapping[Unit, int]) -> dict[Unit, int]:
    """The same units, the models taking turns, so that no engine waits for another to be done."""
    met: Counter[str] = Counter()
    turns = {}
    for unit in waiting:
        met[unit.subject.model.name] += 1
        turns[unit] = met[unit.subject.model.name]
    return {unit: waiting[unit] for unit in sorted(waiting, key=turns.__getitem__)}
