"""Studies of a random model that trains in a moment, for tests of what goes on around training."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mini import SETTINGS
from tiny import tiny_model

from orchestrator import Study, chats, rewritten, train
from orchestrator.pack_member import Job
from orchestrator.plan import Plan, Trial
from orchestrator.progress import Display
from orchestrator.stages import Stages
from orchestrator.store import Store
from orchestrator.sweep_filing import Filing


def study(search: dict[str, Any], **changes: Any) -> Study:
    training = {**SETTINGS["training"], "search": search, **changes.pop("training", {})}
    return Study(**{**SETTINGS, "training": training, **changes})


def real(folder: Path, search: dict[str, Any], name: str = "mini", **training: Any) -> Plan:
    """A study of a random model that trains in a moment, its conversations on file."""
    models = [{"name": "tiny", "path": str(tiny_model(folder / "base", seed=1)), "dtype": "float32"}]
    own = {"targets": ["q_proj"], "rank": 2, "epochs": 1, "checkpoints": [0.25, 0.5, 1], "max_length": 64, **training}
    plan = study(
        search,
        name=name,
        training=own,
        evaluation={**SETTINGS["evaluation"], "contexts_at": [1]},
        models=models,
        personas=["original", "plain"],
        data={"chats": 48},
        warmth=None,
        resources={"runs": str(folder), "cpus": 2},
    ).plan()
    chats.of_run(Store(plan.study.folder), plan.study.data)
    return plan


def work(plan: Plan) -> Store:
    store = Store(plan.study.folder)
    with Display() as display:
        Stages(plan, store, display, {}).train()
    return store


def train_here(plan: Plan, waiting: Iterable[Trial]) -> None:
    """Train in this process, without Ray."""
    store = Store(plan.study.folder)
    for trial in waiting:
        learnt = rewritten.learnt(plan, store, trial.persona)
        job = Job(trial.name, learnt, trial.settings, trial.seed, trial.checkpoints)
        filing = Filing(plan, store, {trial.name: trial}, lambda _: None)
        train.train_all(train.resident(str(trial.model.path)), [job], filing, 1)
