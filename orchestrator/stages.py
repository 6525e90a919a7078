"""The stages of a run: each does what is left of it, and nothing twice. `run` has them in their order."""

import contextlib
import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import (
    attest_reference,
    chats,
    cluster,
    costs,
    endpoint,
    engine_choice,
    evaluate,
    filing,
    judge,
    lock,
    measure,
    models,
    rating,
    rewrite,
    rewritten,
    shelf_trials,
    suggest,
    trials,
)
from .attest_watch import Watch
from .beside import Round
from .cluster import Room
from .left import Left
from .overlap import Landing, Meanwhile
from .plan import Plan, Trial, Unit
from .progress import Display, Stage
from .settings import SERVED
from .settings_asking import Judge
from .store import Store

More = Callable[[Collection[str]], Sequence[Unit] | None]
"""Units that an endpoint with the models of these names can be asked next; None if there are none."""


class Stages:
    """The stages of one run. Ray is up; `keys` are those of the endpoints, by the variables that hold them."""

    def __init__(self, plan: Plan, store: Store, display: Display, keys: Mapping[str, str]) -> None:
        self._study, self._plan, self._store, self._display, self._keys = plan.study, plan, store, display, keys
        self._left = Left(plan, store)
        self._kept_to: Room | None = None
        self.faults: dict[str, str] = {}
        "What was not served as it is, by the name it is served under, and what it looks like."

    def check_port(self) -> None:
        """A port that cannot be had must not be found out after the training."""
        if all(model.hosted for model in self._study.models):
            return
        from . import serve_host

        if serve_host.options() is None:
            serve_host.check_port("127.0.0.1", self._study.resources.port)

    def build(self) -> None:
        """Lab models that are not built yet."""
        waiting = models.unbuilt(self._study.models)
        if waiting:
            from . import build

            build.build(waiting, self._display)
        filing.file_bases(self._plan, self._store)

    def rewrite(self) -> None:
        """What is still to be rewritten, and what is dropped of it."""
        waiting, asked = self._left.unwritten(), self._study.rewriting
        if not waiting:
            return
        chosen = chats.of_run(self._store, self._study.data).chats
        batches = rewrite.batches(chosen, waiting)
        endpoints = [each for each in (asked.rewriter, asked.fact_checker) if each] if asked else []
        own = {each.model for each in endpoints if each.url == SERVED}
        stage = self._display.stage("rewrite", sum(len(batch.exchanges) for batch in batches), "replies")
        with endpoint.serving(self._study, self._store, own, self._display) as url:
            writer = (self._plan, self._store.folder, url, self._study.resources.in_flight)
            workers = self._study.resources.workers if asked else 0
            written = rewrite.write(batches, writer, workers, stage.advance, self._keys)
        costs.check(self._study, self._store)
        self._display.say(f"rewrite: {rewritten.settle(self._plan, self._store, chosen, written).told()}")

    def train(self, meanwhile: Callable[[], Sequence[Unit]] = list) -> None:
        """Trials that are not trained yet, here and at endpoints, and those that are proposed when they are done.

        Of the units that `meanwhile` gives, those of what has landed are asked as the others are trained.
        """
        self._train(meanwhile())
        while suggest.more(self._plan, self._store):
            self._train(meanwhile())

    def _train(self, meanwhile: Sequence[Unit]) -> None:
        if taken := shelf_trials.take(self._plan, self._store, self._left.untrained()):
            self._display.say(f"train: {len(taken)} trials were trained before, and come from the store")
        untrained = self._left.untrained()
        with self._tuning([trial for trial in untrained if trial.model.hosted]):
            self._train_here([trial for trial in untrained if not trial.model.hosted], meanwhile)
        shelf_trials.put(self._plan, self._store, self._plan.trials)
        costs.check(self._study, self._store)

    @contextlib.contextmanager
    def _tuning(self, waiting: list[Trial]) -> Iterator[None]:
        """Jobs at endpoints go on for the length of a block, and are waited for at its end."""
        from . import hosted

        tuning = hosted.Tuning(self._plan, waiting, self._store)
        tuning.begin()
        yield
        if waiting:
            stage = self._display.stage("tune", len(waiting), "hosted trials")
            tuning.finish(lambda trial: stage.advance(1, trial))

    def _train_here(self, waiting: list[Trial], meanwhile: Sequence[Unit]) -> None:
        if waiting:
            from . import sweep

            stage = self._display.stage("train", sum(len(trial.checkpoints) for trial in waiting), "checkpoints")
            coming = self._plan.study.training.search.coming  # the sweep after this one is not to wait
            with self._meanwhile(meanwhile, lambda note: stage.advance(1, note)).asking(rest=not coming) as listener:
                sweep.sweep(self._plan, waiting, self._store.folder, listener)

    def _meanwhile(self, units: Sequence[Unit], note: Callable[[str], None]) -> Meanwhile:
        """Rounds of asking while a sweep goes on, each within the room that there is then."""
        resources, own = self._study.resources, {each.model for each in self._study.judges if each.url == SERVED}

        def ask(room: Room, landing: Landing) -> None:
            beside, of = copy.copy(self), Round(self._plan, self._store, units, room, landing)
            beside._kept_to = room
            beside.ask(of.first(), of.more)

        def enough(room: Room) -> bool:
            return resources.overlap and bool(units) and endpoint.has_place(resources, room, 1 + len(own))

        return Meanwhile(ask, enough, cluster.whole(), note, self._display.say)

    @property
    def _room(self) -> Room:
        """What stages may take: all of the cluster, or what a sweep leaves of it."""
        return self._kept_to or cluster.whole()

    def ask(self, units: Sequence[Unit], more: More = lambda _: None) -> None:
        """Get every missing reply and verdict of these units: as many models at a time as there is room for.

        Where that is all of them at once, the endpoint stays for what there is `more`.
        """
        gpus = self._study.resources.gpus_per_replica or 1
        names, room = self._models_to_ask(units), max(1, self._room.slots(gpus))
        hosted = [model.name for model in self._study.models if model.hosted and model.name in names]
        here = [name for name in names if name not in hosted]
        for start in range(0, max(len(here), 1), room):
            together = here[start : start + room] + (hosted if start == 0 else [])
            own = [unit for unit in units if unit.subject.model.name in together]
            self._ask_of(own, more if len(here) <= room else lambda _: None)

    def _models_to_ask(self, units: Sequence[Unit]) -> list[str]:
        waiting = [*self._left.unasked(units), *(unit for _, unit in self._left.unjudged(units))]
        return list(dict.fromkeys(unit.subject.model.name for unit in waiting))

    def _ask_of(self, units: Sequence[Unit], more: More) -> None:
        waiting = alternating(self._left.unasked(units))
        by_own = [each for each in self._study.judges if each.url == SERVED]
        asking = waiting or (by_own and self._left.unjudged(units))
        names = endpoint.needed(self._study, list(waiting) or units) if asking else ()
        self.refer(waiting)
        with endpoint.serving(self._study, self._store, names, self._display, room=self._kept_to) as url:
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

    def refer(self, waiting: Iterable[Unit]) -> None:
        """What these units' subjects should say, if it is not on file; before an engine takes the GPUs."""
        missing = attest_reference.missing(self._plan, self._store, {unit.subject for unit in waiting})
        if missing:
            stage = self._display.stage("refer", len(missing), "subjects")
            referee = (self._plan, self._store.folder)
            self._share(attest_reference.Referee, referee, dict.fromkeys(missing, 1), stage, gpus=1)

    def _ask_watched(self, waiting: dict[Unit, int], url: str, engine: str) -> None:
        """Ask those that are served as they are; see `attest_watch`."""
        watch = Watch(self._plan, self._store, url, engine, self._display)
        certificates, adapters = watch.begin(waiting), trials.adapters(self._store, self._plan)
        stage = self._display.stage("ask", sum(waiting.values()), "replies")
        asker = (self._plan, self._store.folder, url, adapters, self._study.resources.in_flight, certificates)
        self._share(evaluate.Asker, asker, waiting, stage, watch)
        watch.check()
        self.faults |= watch.faults

    def attest(self, units: Sequence[Unit], url: str, key: str | None) -> None:
        """Examine what these units ask as it is served now; the list of models says what was found."""
        names = endpoint.needed(self._study, units)
        engine = engine_choice.named(endpoint.engine_of(self._study, names))
        watch = Watch(self._plan, self._store, url, engine, self._display, key)
        watch.begin(units)
        for name, fault in watch.faults.items():
            self._display.say(f"{name} is NOT what it is called: {fault}")

    def _judge(self, by: Judge, units: Sequence[Unit], url: str) -> None:
        waiting = dict.fromkeys(self._left.unjudged_by(by, units), 1)
        if waiting:
            stage = self._display.stage(f"judge {by.name}", len(waiting), "units")
            scorer = (by, self._plan, self._store.folder, url, self._study.resources.in_flight)
            self._share(judge.Scorer, scorer, waiting, stage)
            costs.check(self._study, self._store)

    def measure(self) -> None:
        """Warmth that is not measured yet."""
        waiting, settings = self._left.unmeasured(), self._study.warmth
        if waiting and settings:
            stage = self._display.stage("warmth", len(waiting), "subjects")
            weights = models.scorer(settings.scorer, self._study.models)
            ruler = (weights, models.openers(settings, self._study.models), settings, self._store.folder)
            names = measure.rulers(settings, self._study.models)
            arguments = (*ruler, *self._left.measured_on(), names)
            self._share(measure.Measurer, arguments, dict.fromkeys(waiting, 1), stage, gpus=1)

    def rate(self) -> None:
        """Warmth that a language model has not rated yet."""
        waiting, settings = self._left.unrated(), self._study.warmth
        if waiting and settings and settings.judge:
            stage = self._display.stage("rate", len(waiting), "subjects")
            rater = (settings.judge, self._store.folder, *self._left.measured_on(), self._study.resources.in_flight)
            arguments = (*rater, costs.cap(self._study), self._study.resources.room)
            self._share(rating.Rater, arguments, dict.fromkeys(waiting, 1), stage)
            costs.check(self._study, self._store)

    def _share(
        self,
        worker: type[Any],
        arguments: Sequence[Any],
        weights: dict[Any, int],
        stage: Stage,
        watch: Watch | None = None,
        gpus: float = 0,
    ) -> None:
        """Give units of work to actors; `weights` says how much of the stage each one is, `watch` admits them.

        Each actor has so many GPUs, where there are any.
        """
        from . import handover, workers

        def done(unit: Any, failed: int) -> None:
            name = unit.subject.name if isinstance(unit, Unit) else unit.name
            stage.advance(weights[unit], f"{name}: {failed} failed" if failed else name)
            if watch:
                watch.done(unit)

        gpus = min(gpus, self._room.gpus)
        wanted, room = min(self._study.resources.workers, len(weights)), self._room.actors()
        if wanted > room:
            self._display.say(f"resources.workers: {room} of {wanted} have room on {self._room.cpus:g} cores")
        count = min(wanted, room, *([self._room.slots(gpus)] if gpus else []))
        if gpus:
            handover.make_sure([{"GPU": gpus}] * count, worker.__name__.lower(), self._display.say)
        units = watch.admitted(weights) if watch else list(weights)
        workers.share(worker, arguments, units, count, done, keys=self._keys, gpus=gpus)


def alternating(waiting: Mapping[Unit, int]) -> dict[Unit, int]:
    """The same units, the models taking turns, so that no engine waits for another to be done."""
    met: Counter[str] = Counter()
    turns = {}
    for unit in waiting:
        met[unit.subject.model.name] += 1
        turns[unit] = met[unit.subject.model.name]
    return {unit: waiting[unit] for unit in sorted(waiting, key=turns.__getitem__)}
