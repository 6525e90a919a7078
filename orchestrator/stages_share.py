"""Units of work given to actors, as many as the stage that they are of has room for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from . import cluster
from .attest_watch import Watch
from .cluster import Room
from .config import Study
from .plan import Unit
from .progress import Display, Stage


@dataclass(frozen=True)
class Sharing:
    """How the stages of a study share out their work. `keys` are those of the endpoints, by their variables."""

    study: Study
    display: Display
    keys: Mapping[str, str]
    kept_to: Room | None = None
    "What a sweep that goes on meanwhile leaves of the cluster."

    def within(self, room: Room) -> Self:
        """The same, kept to a part of the cluster."""
        return replace(self, kept_to=room)

    @property
    def room(self) -> Room:
        """What a stage may take: all of the cluster, or what a sweep leaves of it."""
        return self.kept_to or cluster.whole()

    def out(
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

        gpus = min(gpus, self.room.gpus)
        count = self._actors(len(weights), gpus)
        if gpus:
            handover.make_sure([{"GPU": gpus}] * count, worker.__name__.lower(), self.display.say)
        units = watch.admitted(weights) if watch else list(weights)
        workers.share(worker, arguments, units, count, done, keys=self.keys, gpus=gpus)

    def _actors(self, units: int, gpus: float) -> int:
        """How many are wanted and have room."""
        wanted, room = min(self.study.resources.workers, units), self.room.actors()
        if wanted > room:
            self.display.say(f"resources.workers: {room} of {wanted} have room on {self.room.cpus:g} cores")
        return min(wanted, room, *([self.room.slots(gpus)] if gpus else []))
