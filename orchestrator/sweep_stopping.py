"""Schedulers that stop trials on their training loss: opted in to by `training.search.scheduler`, one word.

Trials are compared with those of the same model in the same persona alone: conversations in a warm voice have another
loss than plain ones, and whole personas would be stopped for it. A trial that reaches its last checkpoint is finished.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import schedulers

from . import models, trials
from .plan import Trial
from .store import Store

Group = tuple[str, str]
"""A base and a persona."""


class Stopping(schedulers.FIFOScheduler):
    """Has one scheduler of Tune's for each model in each persona, and files which trials it stops."""

    def __init__(self, word: str, store: Store, parts: Mapping[str, list[Trial]]) -> None:
        super().__init__()
        self._word, self._store = word, store
        self._trials = {name: part[0] for name, part in parts.items()}
        self._of: dict[Group, Any] = {}

    def _scheduler(self, tuned: Any) -> Any:
        trial = self._trials[tuned.config["share"]]
        group = (models.identity(trial.model), trial.persona.name)
        if group not in self._of:
            self._of[group] = KINDS[self._word](len(trial.checkpoints))
        return self._of[group]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self._scheduler(trial).on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if "checkpoint" not in result:
            return self.CONTINUE
        decision = self._scheduler(trial).on_trial_result(tune_controller, trial, result)
        if decision != self.STOP or result["checkpoint"] >= result["checkpoints"]:
            return self.CONTINUE
        trials.file_stopped(self._store, result["name"], self._word, result["epoch"], result["recent"])
        return self.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if "checkpoint" in result:
            self._scheduler(trial).on_trial_complete(tune_controller, trial, result)


def _asha(checkpoints: int) -> Any:
    """At the first, second, fourth ... checkpoint, the half of those seen there with the lower loss goes on."""
    return schedulers.ASHAScheduler(
        time_attr="checkpoint", metric="recent", mode="min", max_t=checkpoints + 1, grace_period=1, reduction_factor=2
    )


def _median(checkpoints: int) -> Any:  # noqa: ARG001 - as the other one is called
    """Whose best loss is above the middle one of at least three others' means so far is stopped."""
    return schedulers.MedianStoppingRule(
        time_attr="checkpoint", metric="recent", mode="min", grace_period=1, min_time_slice=math.inf
    )


KINDS: Mapping[str, Callable[[int], Any]] = {"asha": _asha, "median": _median}
