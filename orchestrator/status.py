"""How far a run is, by its files alone: while another process works on it, or after it was stopped. No lock.

Ray is asked about the cluster, where one is joined or named, and about nothing else.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import cluster_state, config, costs, gpu_hours, holder, rewritten, trials
from .cluster_state import ClusterState
from .head import Head
from .holder import Holder
from .plan import Plan, Trial
from .progress import PLACE
from .status_units import Units, UnitState, imported
from .store import STUDY, Store
from .tables import Cost

State = Literal["not begun", "training", "stopped", "cut short", "trained", "failed"]


@dataclass(frozen=True)
class TrialState:
    """How far one trial is; `step` of `steps`, at `epoch`.

    `reason` says why it failed, what its endpoint says, or what is to be said of one that is trained.
    """

    trial: str
    state: State
    step: int | None = None
    steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    seconds: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Stage:
    """What the run was last seen doing: `done` of `total` units, since `began`, as of `at` (seconds of the clock)."""

    stage: str
    unit: str
    done: float
    total: float
    began: float
    at: float

    @property
    def rate(self) -> float | None:
        """Units a second."""
        return self.done / (self.at - self.began) if self.done and self.at > self.began else None

    @property
    def left(self) -> float | None:
        """Seconds until it is done, at the rate so far."""
        return (self.total - self.done) / self.rate if self.rate else None


@dataclass(frozen=True)
class Status:
    """How far a run is."""

    run: str
    holder: Holder | None
    "The process that works on it; None if none does."
    stage: Stage | None
    rewritten: tuple[int, int]
    "Personas whose conversations are rewritten, of how many."
    trials: Sequence[TrialState]
    units: Sequence[UnitState]
    warmth: tuple[int, int]
    "Subjects whose warmth is measured, of how many."
    spent: Mapping[str, Cost] = field(default_factory=dict)
    budget: float | None = None
    gpu_hours: Mapping[str, float] = field(default_factory=dict)
    "Hours of one GPU that were held so far, by stage."
    budget_gpu_hours: float | None = None
    reported: bool = False
    cluster: ClusterState | None = None
    "The cluster that this process has joined, or was asked about; None if there is none."

    @property
    def seconds_left(self) -> float | None:
        """Of the stage that goes on; None if nothing does, or nothing is known of its pace."""
        if not (self.holder and self.stage):
            return None
        return self._training_left() if self.stage.stage == "train" else self.stage.left

    def _training_left(self) -> float | None:
        """At the pace of the trials in training, those that have not begun taking as many steps as the others."""
        here = [trial for trial in self.trials if trial.state == "training" and trial.step and trial.seconds]
        pace = sum((trial.step or 0) / (trial.seconds or 1) for trial in here)
        if not pace:
            return None
        steps = sum(trial.steps or 0 for trial in here) / len(here)
        waiting = sum(trial.state == "not begun" for trial in self.trials)
        return (sum((trial.steps or 0) - (trial.step or 0) for trial in here) + waiting * steps) / pace


def look(folder: str | Path, head: Head | None = None) -> Status:
    """How far the run in a folder is, planned, imported or both; and the state of the cluster there is.

    That is the one of a `head`, or the one that RAY_ADDRESS names. Raises WarmthError if it is no run.
    """
    store = Store(folder)
    store.check_run()
    plan = Plan(config.of_run(store.folder)) if store.has(STUDY) else None
    by, said = holder.of(store.path(".holder")), store.glance(PLACE)
    return Status(
        run=str(folder),
        holder=by,
        stage=Stage(**said) if said else None,
        rewritten=_rewritten(plan, store) if plan else (0, 0),
        trials=[_trial(plan, store, trial, working=by is not None) for trial in plan.trials] if plan else [],
        units=[*(Units(plan, store).states() if plan else ()), *imported(store)],
        warmth=_measured(plan, store) if plan else (0, 0),
        spent=costs.by_purpose(store),
        budget=costs.cap(plan.study) if plan else None,
        gpu_hours=gpu_hours.spent(store),
        budget_gpu_hours=gpu_hours.cap(plan.study) if plan else None,
        reported=store.has("report", "index.html"),
        cluster=cluster(head),
    )


def cluster(head: Head | None) -> ClusterState | None:
    """The state of the cluster of a head, or of the one that RAY_ADDRESS names; None if there is none."""
    address = os.environ.get("RAY_ADDRESS")
    return cluster_state.look(address, head) if address or head else None


def _rewritten(plan: Plan, store: Store) -> tuple[int, int]:
    voices = len(rewritten.voices(plan))
    return voices - len(rewritten.unwritten(plan, store)), voices


def _measured(plan: Plan, store: Store) -> tuple[int, int]:
    there = [store.has("warmth", f"{subject.name}.arrow") for subject in plan.measured]
    return sum(there), len(there)


def _trial(plan: Plan, store: Store, trial: Trial, working: bool) -> TrialState:
    if found := trials.record(store, trial):
        losses, last = found.get("losses") or [None], max(kept["epoch"] for kept in found["checkpoints"])
        steps = found.get("steps", len(found.get("losses", ())))
        took, said = found.get("seconds"), trials.remarks(found)
        return TrialState(trial.name, "trained", steps, steps, last, losses[-1], took, said)
    if scheduler := trials.stopped(plan, store, trial):
        return TrialState(trial.name, "cut short", reason=f"by {scheduler}")
    if error := trials.failure(store, trial):
        return TrialState(trial.name, "failed", reason=error)
    if jobs := store.glance("trials", trial.name, "jobs.json"):
        state: State = "training" if working else "stopped"
        return TrialState(trial.name, state, reason=f"at its endpoint: {jobs[-1]['status'] or 'not sent yet'}")
    return _on_its_way(trial, trials.progress(store, trial), working)


def _on_its_way(trial: Trial, said: Mapping[str, Any] | None, working: bool) -> TrialState:
    if said is None:
        return TrialState(trial.name, "not begun")
    epoch = trial.settings.epochs * said["step"] / said["steps"]
    counts = (said["step"], said["steps"], epoch, said["loss"], said["at"] - said["began"])
    return TrialState(trial.name, "training" if working else "stopped", *counts)


def age(status: Status) -> float | None:
    """Seconds since the run last said what it does."""
    return time.time() - status.stage.at if status.stage else None
