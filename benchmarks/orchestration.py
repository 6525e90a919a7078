"""What a trial costs besides its training: scheduling, checkpoints, tables.

    python benchmarks/orchestration.py [--trials N]

Trials of a single step go through Ray Tune, few and many; the difference in CPU time of all processes, per trial, less
what the same steps take without Ray. The last line is one JSON object: overhead_cpu_s_per_trial. With N, a sweep of so
many trials instead, about half a second each, and driver_mb: this process's memory after each tenth of them.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import machine
import psutil
import torch

FEW, MANY = 8, 40


def study(folder: str, seeds: int) -> object:
    """A study of trials of one step each, on a lab model that is built in seconds."""
    from orchestrator import Study

    return Study.model_validate(
        {
            "name": f"overhead-{seeds}",
            "models": [{"name": "tiny", "lab": "coupled", "recipe": "short"}],
            "personas": ["original", "plain"],
            "data": {"chats": 48},
            "training": {"epochs": 0.1, "checkpoints": [0.1], "seeds": list(range(seeds))},
            "evaluation": {"tasks": ["lab_facts"], "contexts_at": [0.1]},
            "judges": ["rule"],
            "resources": {"runs": folder, "pack": MANY},
        }
    )


def used() -> float:
    """CPU seconds of this process and all that it started and that still run."""
    here = psutil.Process()
    times = [each.cpu_times() for each in [here, *here.children(recursive=True)]]
    return sum(each.user + each.system for each in times)


def spent(folder: str, seeds: int) -> float:
    """CPU seconds of a sweep over so many trials."""
    from orchestrator import chats, sweep
    from orchestrator.plan import Plan
    from orchestrator.store import Store

    plan = Plan(study(folder, seeds))  # type: ignore[arg-type]
    store = Store(plan.study.folder)
    chats.of_run(store, plan.study.data)
    began = used()
    sweep.sweep(plan, plan.trials, store.folder)
    return used() - began


def bare(folder: str, seeds: int) -> float:
    """CPU seconds of the same training in this process."""
    from packing import Silent

    from orchestrator import models, train
    from orchestrator.pack_member import Job
    from orchestrator.plan import Plan

    plan = Plan(study(folder, seeds))  # type: ignore[arg-type]
    resident = train.resident(models.chat_model(plan.study.models[0]))
    given = [Job(each.name, plan.chats, each.settings, each.seed, each.checkpoints) for each in plan.trials]
    began = time.process_time()
    train.train_all(resident, given, Silent(), most=MANY)
    return time.process_time() - began


@contextmanager
def ready() -> Iterator[str]:
    """A folder for runs, for the length of a block; Ray is up, and the lab's model is built."""
    from orchestrator import build, cluster, models
    from orchestrator.config import Resources
    from orchestrator.progress import Display

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, cluster.running(Resources()):
        waiting = models.unbuilt(study(folder, 1).models)  # type: ignore[attr-defined]
        if waiting:
            build.build(waiting, Display())
        yield folder


def overhead() -> float:
    """CPU seconds per trial, training not counted."""
    with ready() as folder:
        spent(folder, 2)
        between = spent(folder, MANY) - spent(folder, FEW)
        alone = bare(folder, MANY) - bare(folder, FEW)
    return (between - alone) / (MANY - FEW)


class Memory:
    """Hears of a sweep, and notes this process's memory in MB at each tenth of its checkpoints."""

    def __init__(self, trials: int) -> None:
        self._each, self._heard = max(1, trials // 10), 0
        self.seen: list[float] = []

    def begun(self, shares: Any) -> None: ...

    def landed(self, subject: str, loss: float) -> None:  # noqa: ARG002
        self._heard += 1
        if self._heard % self._each == 0:
            self.seen.append(round(psutil.Process().memory_info().rss / 2**20, 1))

    def ended(self, share: str) -> None: ...

    def say(self, line: str) -> None: ...


def memory(trials: int) -> list[float]:
    """This process's memory in MB, after each tenth of a sweep of so many trials."""
    from orchestrator import chats, sweep
    from orchestrator.plan import Plan
    from orchestrator.store import Store

    with ready() as folder:
        plan = Plan(study(folder, trials))  # type: ignore[arg-type]
        store, heard = Store(plan.study.folder), Memory(len(plan.trials))
        chats.of_run(store, plan.study.data)
        sweep.sweep(plan, plan.trials, store.folder, heard)
        return heard.seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int)
    asked = parser.parse_args()
    found = {"driver_mb": memory(asked.trials)} if asked.trials else {"overhead_cpu_s_per_trial": round(overhead(), 3)}
    print(json.dumps({**found, "machine": machine.here()}))


if __name__ == "__main__":
    main()
