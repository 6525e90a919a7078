"""How trials are shared out over a cluster, and where they and the engines find room. Pure."""

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from . import models, sizes
from .config import Study
from .settings_subjects import Model


class Trained(Protocol):
    """A trial, with or without its name."""

    @property
    def model(self) -> Model:
        """Its base."""


T = TypeVar("T", bound=Trained)


class Layout(NamedTuple):
    """Where the trials of a model are trained on the described cluster."""

    trials: int
    gpus_per_trial: float
    "0 where no GPUs are described: a trial has a core."
    at_once: int
    "0 where there is no room for one."
    shares: int
    largest_share: int
    "Trials that one process trains on the base that it keeps, packed as far as measuring says that it pays."


def shares(waiting: Sequence[T], slots: Callable[[Model], int], most: int) -> list[list[T]]:
    """Trials of the same base together, so many that every slot has something to do, and `most` at the most.

    `slots` says how many trials of a model the cluster has room for at once.
    """
    size = max(1, min(most, math.ceil(sum(1 / slots(trial.model) for trial in waiting) - 1e-9)))
    ordered = sorted(waiting, key=_base)
    by_base = (list(mine) for _, mine in itertools.groupby(ordered, key=_base))
    return [part for mine in by_base for part in _even(mine, size)]


def most_in_a_share(study: Study) -> int:
    """How many trials may share a process: one where a scheduler may stop it, as that is a share's whole process."""
    return 1 if study.training.search.scheduler else study.resources.pack


def _base(trial: Trained) -> str:
    return models.identity(trial.model)


def _even(trials: list[T], size: int) -> Iterator[list[T]]:
    """Parts of about the same size."""
    count = -(-len(trials) // size)
    for part in range(count):
        yield trials[part * len(trials) // count : (part + 1) * len(trials) // count]


def training(study: Study, trials: Sequence[Trained]) -> dict[str, Layout]:
    """Where each model's trials are trained on the described cluster, by its name; hosted ones are not trained here."""
    here = [trial for trial in trials if not trial.model.hosted]
    own = {trial.model.name: trial.model for trial in here}
    gpus = {name: gpus_per_trial(study, model) for name, model in own.items()}
    room = {name: slots(study, each) for name, each in gpus.items()}
    parts = shares(here, lambda model: room[model.name] or 1, most_in_a_share(study))
    return {
        name: Layout(sum(map(len, mine)), gpus[name], room[name], len(mine), max(map(len, mine)))
        for name in own
        if (mine := [part for part in parts if part[0].model.name == name])
    }


def gpus_per_trial(study: Study, model: Model) -> float:
    """The GPUs of a trial on the described cluster; 0 where it has none."""
    return sizes.gpus_per_trial(study, model) if study.resources.gpus else 0


def slots(study: Study, gpus: float) -> int:
    """How many things of so many GPUs, or of a core, the described cluster has room for; without GPUs, its cores."""
    there = study.resources.gpus
    return int(there / gpus) if there and gpus else study.resources.cpus or os.cpu_count() or 1


def serving(study: Study) -> dict[str, Any]:
    """Which models are served beside one another, a replica each, and what a replica has; nothing if all are hosted."""
    own = [model.name for model in study.models if not model.hosted]
    gpus = gpus_per_replica(study)
    room = max(1, slots(study, gpus))
    beside = [own[start : start + room] for start in range(0, len(own), room)]
    return {"gpus_per_replica": gpus, "replicas_at_once": slots(study, gpus), "beside": beside} if own else {}


def gpus_per_replica(study: Study) -> float:
    """The GPUs of a replica on the described cluster; 0 where it has none."""
    return (study.resources.gpus_per_replica or 1) if study.resources.gpus else 0
