"""GPU time that a run holds, by stage: counted while it works, and stopped at the budget's.

What Ray has lent out of the cluster's GPUs is looked at every few seconds, whoever holds it: trials, engines, and what
else the run serves. What others held when the run began is not counted. Where there is no GPU, those that the
study describes (`resources.gpus`) count as held for as long as the run works. Each start of a run has a file of its own
in `costs/`.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from . import cluster, progress
from .config import Study
from .errors import WarmthError
from .store import Store

FOLDER, PREFIX = "costs", "gpu-"

EVERY = 5.0
"""Seconds between two looks: so long may a run go on behind its budget, and so much of a killed run is not counted."""

OVER = "no-gpu-hours-left.json"
"""The file in `costs/` that says that the budget's GPU time is used up; who asks or trains looks for it."""


def spent(store: Store) -> dict[str, float]:
    """Hours of one GPU by stage, of all starts of a run together."""
    found: dict[str, float] = {}
    for name in store.names(FOLDER):
        if name.startswith(PREFIX):
            for stage, hours in (store.glance(FOLDER, name) or {}).items():
                found[stage] = found.get(stage, 0) + hours
    return dict(sorted(found.items()))


def cap(study: Study) -> float | None:
    """The GPU hours that a study may take; None if it has no such budget."""
    return study.budget.gpu_hours if study.budget else None


def over(store: Store) -> bool:
    """Whether a run was told that there are none left."""
    return store.has(FOLDER, OVER)


def check(study: Study, store: Store) -> None:
    """Raises WarmthError if the budget's GPU time is used up, saying by what."""
    limit, taken = cap(study), spent(store)
    if limit is not None and sum(taken.values()) >= limit:
        by = ", ".join(f"{stage} {hours:,.2f}" for stage, hours in taken.items())
        raise WarmthError(
            f"budget.gpu_hours: stopped, as {limit:g} GPU hours are used up ({by}). What came is kept, and trials go on"
            " from their last checkpoints: raise budget.gpu_hours and run again"
        )


class Meter:
    """Counts one start's GPU time. `held` says how many GPUs the run holds, `clock` is in seconds."""

    def __init__(
        self, study: Study, store: Store, held: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._limit, self._held, self._clock = store, cap(study), held, clock
        self._piece, self._hours = f"{PREFIX}{uuid.uuid4().hex}.json", dict[str, float]()
        self._last = clock()

    def look(self) -> None:
        """Count the time since the last look for the stage that the run is in; say so where none is left."""
        now, said = self._clock(), self._store.glance(progress.PLACE) or {}
        hours, self._last = self._held() * (now - self._last) / 3600, now
        if hours:
            stage = str(said.get("stage", "starting"))
            self._hours[stage] = self._hours.get(stage, 0) + hours
            self._store.write_json(self._hours, FOLDER, self._piece)
        if self._limit is not None and sum(spent(self._store).values()) >= self._limit:
            self._store.write_json({}, FOLDER, OVER)


@contextlib.contextmanager
def counted(study: Study, store: Store) -> Iterator[None]:
    """Count what the run holds for the length of a block. Ray is up."""
    before, done = cluster.lent_gpus(), threading.Event()
    meter = Meter(study, store, lambda: _held(study, before))

    def watch() -> None:
        while not done.wait(EVERY):
            meter.look()

    watcher = threading.Thread(target=watch, name="gpu-hours", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        meter.look()


def _held(study: Study, before: float) -> float:
    """The GPUs that the run holds now, or those that it describes where there is none."""
    if not cluster.gpus():
        return float(study.resources.gpus or 0)
    return max(0.0, cluster.lent_gpus() - before)
