"""The stage that trains: in a sweep here, in jobs at endpoints; what lands is asked meanwhile, where there is room."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from . import cluster, costs, endpoint, shelf_trials, suggest
from .beside import Round
from .cluster import Room
from .left import Left
from .overlap import Landing, Meanwhile
from .plan import Plan, Trial, Unit
from .progress import Display
from .settings import SERVED
from .stages_ask import Asking
from .store import Store


class Training:
    """Trains what is not trained. Ray is up."""

    def __init__(self, plan: Plan, store: Store, left: Left, display: Display, asking: Asking) -> None:
        self._plan, self._store, self._left, self._display, self._asking = plan, store, left, display, asking

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
        costs.check(self._plan.study, self._store)

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
        study = self._plan.study
        resources, own = study.resources, {each.model for each in study.judges if each.url == SERVED}

        def ask(room: Room, landing: Landing) -> None:
            of = Round(self._plan, self._store, units, room, landing)
            self._asking.within(room).ask(of.first(), of.more)

        def enough(room: Room) -> bool:
            return resources.overlap and bool(units) and endpoint.has_place(resources, room, 1 + len(own))

        return Meanwhile(ask, enough, cluster.whole(), note, self._display.say)
