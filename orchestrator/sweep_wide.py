"""A share whose trials are trained by several processes: a `TorchTrainer` of Ray Train inside the Tune trial.

The Tune trial itself takes neither core nor GPU: its trainer asks for all of its processes' places in one placement
group, which Ray grants whole or not at all, so that trials that wait for one another cannot each hold a part.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ray import tune

from . import cluster, models, trials
from .cluster import Room
from .config import Resources
from .plan import Plan, Trial
from .store import Store

MEGABYTE = 2.0**20


class Place(NamedTuple):
    """What a trial has: a part of a GPU or several, and processes, one for each of several or so many without any."""

    gpus: float
    processes: int

    @classmethod
    def of(cls, resources: Resources, gpus: float) -> "Place":
        """Where there is no GPU a trial has the processes that are set, as far as there are cores."""
        return cls(gpus, int(gpus) or 1 if gpus else min(resources.processes_per_trial, int(cluster.cpus())))

    @property
    def slots(self) -> int:
        """For how many trials the cluster has such a place at once."""
        return cluster.slots(self.gpus) if self.gpus else max(1, cluster.slots(0) // self.processes)

    @property
    def room(self) -> Room:
        """What it takes of the cluster."""
        return Room(self.processes, self.gpus)

    @property
    def bundles(self) -> list[dict[str, float]]:
        """The same as what has to be on one machine each."""
        return [{"CPU": 1.0, "GPU": min(1.0, self.gpus)}] * self.processes

    @property
    def bundle(self) -> tune.PlacementGroupFactory:
        """What Tune reserves: a core and the GPU; where a trainer asks for places itself next to nothing."""
        single = {"CPU": 1.0, "GPU": self.gpus}
        return tune.PlacementGroupFactory([{"memory": MEGABYTE} if self.processes > 1 else single])


def train(plan: Plan, share: Sequence[Trial], folder: Path, place: Place) -> None:
    """Train what is not finished of a share, in several processes. One that cannot go on is filed, and the others do.

    To be called in a Tune trial. Raises TrainingFailedError where the processes ended and nothing says by which trial.
    """
    from ray.train import TrainingFailedError

    store = Store(folder)
    left = [trial for trial in share if trials.record(store, trial) is None]
    while left:
        try:
            _fit(store, partial(_rank, plan, left, folder), place)
            return
        except TrainingFailedError:
            if not any(trials.failure(store, trial) for trial in left):
                raise
            left = [trial for trial in left if not trials.record(store, trial) and not trials.failure(store, trial)]


def _fit(store: Store, work: Callable[[], None], place: Place) -> None:
    """Do something in every process; Tune hears what the first one reports."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback
    from torch.distributed import is_nccl_available

    with store.scratch() as scratch:
        TorchTrainer(
            work,
            torch_config=TorchConfig(backend="nccl" if place.gpus and is_nccl_available() else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=place.processes, use_gpu=place.gpus > 0, placement_strategy="PACK"
            ),
            run_config=RunConfig(
                name="share",
                storage_path=str(scratch),
                failure_config=FailureConfig(max_failures=0),
                callbacks=[TuneReportCallback()],
            ),
        ).fit()


def _rank(plan: Plan, left: Sequence[Trial], folder: Path) -> None:
    """One of the processes: all trials, one after another, on its part of the base."""
    from ray.train import report

    from . import train as training
    from .pack import Resident
    from .sweep_filing import Filing, Together, job
    from .train_ranks import Ranks

    store, ranks, first = Store(folder), Ranks.here(), left[0]
    resident = Resident(models.chat_model(first.model), first.model.precision, ranks)
    filing = Filing(plan, store, {trial.name: trial for trial in left}, lambda _: None)
    jobs = (job(plan, store, trial) for trial in left)
    heard = Together(filing, ranks, report)
    training.train_all(resident, jobs, heard, most=1, at_once=plan.study.resources.tokens_at_once)
