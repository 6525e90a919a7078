"""How trials are shared out over a cluster. Pure."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from . import models
from .plan import Trial
from .settings_subjects import Model


def shares(waiting: Sequence[Trial], slots: Callable[[Model], int], most: int) -> list[list[Trial]]:
    """Trials of the same base together, so many that every slot has something to do, and `most` at the most.

    `slots` says how many trials of a model the cluster has room for at once.
    """
    size = max(1, min(most, math.ceil(sum(1 / slots(trial.model) for trial in waiting) - 1e-9)))
    ordered = sorted(waiting, key=_base)
    by_base = (list(mine) for _, mine in itertools.groupby(ordered, key=_base))
    return [part for mine in by_base for part in _even(mine, size)]


def _base(trial: Trial) -> str:
    return models.identity(trial.model)


def _even(trials: list[Trial], size: int) -> Iterator[list[Trial]]:
    """Parts of about the same size."""
    count = -(-len(trials) // size)
    for part in range(count):
        yield trials[part * len(trials) // count : (part + 1) * len(trials) // count]
