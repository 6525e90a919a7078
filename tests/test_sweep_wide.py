"""Trials that several processes train together, through Ray Tune and Ray Train, are those of one process."""

from pathlib import Path
from typing import Any

import pytest
from mini import SETTINGS
from safetensors.torch import load_file

from orchestrator import Study, chats, cluster, models, sweep, trials
from orchestrator.build import build
from orchestrator.config import Resources
from orchestrator.pack_member import Member, Moment
from orchestrator.plan import Plan
from orchestrator.progress import Display
from orchestrator.store import Store
from orchestrator.sweep_filing import job
from orchestrator.sweep_wide import Place
from orchestrator.tables import Chat
from orchestrator.train import save, train

NEAR = 1e-5
"""How far weights may be apart after all steps, in single precision."""


class Heard(sweep.Nobody):
    """Remembers which checkpoints came."""

    def __init__(self) -> None:
        self.landings: list[str] = []

    def landed(self, subject: str, loss: float) -> None:  # noqa: ARG002
        self.landings.append(subject)


def trained(folder: Path, processes: int, **training: Any) -> tuple[Plan, Store, list[str]]:
    """A sweep of two trials, one of which no layer has room for; the checkpoints that were heard of."""
    settings = {**SETTINGS, "personas": ["original", "plain"], "warmth": None}
    settings["training"] = {**SETTINGS["training"], "search": {"rank": [8, 500]}, **training}
    settings["resources"] = {"runs": str(folder), "processes_per_trial": processes}
    plan = Plan(Study.model_validate(settings))
    store, heard = Store(plan.study.folder.absolute()), Heard()
    chats.of_run(store, plan.study.data)
    sweep.sweep(plan, plan.trials, store.folder, heard)
    return plan, store, heard.landings


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_three_processes_train_what_one_trains_and_a_bad_trial_leaves_them(tmp_path: Path) -> None:
    if waiting := models.unbuilt(Study.model_validate(SETTINGS).models):
        build(waiting, Display())
    plan, store, landed = trained(tmp_path, 3)
    good, bad = sorted(plan.trials, key=lambda trial: trial.settings.rank)
    assert "training.rank: 500" in (trials.failure(store, bad) or "")
    found = trials.record(store, good)
    assert found is not None, trials.failure(store, good)
    assert landed == [good.subject(1), good.subject(2)]
    assert store.names("trials", good.name) == ["trial.json"]
    assert not list(store.folder.glob(".writing-*"))

    def keep(epoch: float, _: Moment, member: Member) -> None:
        save(member, tmp_path / f"alone-{epoch:g}")

    learnt, base = job(plan, store, good).chats, models.chat_model(good.model)
    alone = train(base, [each for each in learnt if isinstance(each, Chat)], good.settings, good.seed, (1, 2), keep)
    assert found["losses"] == pytest.approx(alone.losses, abs=NEAR)
    for kept in found["checkpoints"]:
        folders = store.path("adapters", kept["adapter"]), tmp_path / f"alone-{kept['epoch']:g}"
        one, other = (load_file(folder / "adapter_model.safetensors") for folder in folders)
        assert one.keys() == other.keys()
        assert max(float((one[name] - other[name]).abs().max()) for name in one) <= NEAR


def test_a_trial_of_several_gpus_has_a_process_on_each(ray_session: None) -> None:  # noqa: ARG001
    assert Place.of(Resources(processes_per_trial=3), 4) == (4, 4)
    assert Place.of(Resources(processes_per_trial=3), 0.5) == (0.5, 1)
    assert Place.of(Resources(processes_per_trial=1000), 0).processes == cluster.cpus()
    assert Place(4, 4).bundle.bundles == [{"memory": 2**20}]
    assert Place(0.5, 1).bundle.bundles == [{"CPU": 1, "GPU": 0.5}]
