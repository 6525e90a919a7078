"""Trials that several processes train together, through Ray Tune and Ray Train, are those of one process."""

from pathlib import Path
from typing import Any

import pytest
from mini import SETTINGS
from safetensors.torch import load_file

from orchestrator import Study, chats, cluster, models, sweep, trials
from orchestrator.build import build
from orchestrator.config import Resources
from orchestrator.plan import Plan, Trial
from orchestrator.progress import Display
from orchestrator.store import Store
from orchestrator.sweep_wide import Place

NEAR = 1e-5
"""How far weights may be apart after all steps, in single precision."""


def trained(folder: Path, processes: int, **training: Any) -> tuple[Plan, Store, list[str]]:
    """A sweep of two trials, one of which no layer has room for; what was said of checkpoints."""
    settings = {**SETTINGS, "personas": ["original", "plain"], "warmth": None}
    settings["training"] = {**SETTINGS["training"], "search": {"rank": [8, 500]}, **training}
    settings["resources"] = {"runs": str(folder), "processes_per_trial": processes}
    plan = Plan(Study.model_validate(settings))
    store, said = Store(plan.study.folder.absolute()), list[str]()
    chats.of_run(store, plan.study.data)
    sweep.sweep(plan, plan.trials, store.folder, said.append)
    return plan, store, said


def losses(store: Store, trial: Trial) -> list[float]:
    found = trials.record(store, trial)
    assert found is not None, trials.failure(store, trial)
    return list(found["losses"])


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_two_processes_train_what_one_trains_and_one_bad_trial_leaves_them(tmp_path: Path) -> None:
    if waiting := models.unbuilt(Plan(Study.model_validate(SETTINGS)).study.models):
        build(waiting, Display())
    assert Place.of(Resources(processes_per_trial=2), 0) == (0, 2)
    (plan, alone, _), (_, wide, said) = (trained(tmp_path / str(count), count) for count in (1, 2))
    good, bad = sorted(plan.trials, key=lambda trial: trial.settings.rank)
    assert "training.rank: 500" in (trials.failure(wide, bad) or "")
    assert losses(wide, good) == pytest.approx(losses(alone, good), abs=NEAR)
    assert [note.split()[0] for note in said] == [good.name] * 2
    assert wide.names("trials", good.name) == alone.names("trials", good.name) == ["trial.json"]
    for epoch in (1, 2):
        one, other = (
            load_file(next(store.path("adapters").glob(f"{good.subject(epoch)}-*")) / "adapter_model.safetensors")
            for store in (alone, wide)
        )
        assert one.keys() == other.keys()
        assert max(float((one[name] - other[name]).abs().max()) for name in one) <= NEAR
    assert not list(wide.folder.glob(".writing-*"))


def test_a_trial_of_several_gpus_has_a_process_on_each(ray_session: None) -> None:  # noqa: ARG001
    assert Place.of(Resources(processes_per_trial=3), 4) == (4, 4)
    assert Place.of(Resources(processes_per_trial=3), 0.5) == (0.5, 1)
    assert Place.of(Resources(processes_per_trial=1000), 0).processes == cluster.cpus()
    assert Place(4, 4).bundle.bundles == [{"memory": 2**20}]
    assert Place(0.5, 1).bundle.bundles == [{"CPU": 1, "GPU": 0.5}]
