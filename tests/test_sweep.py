"""How trials are shared out over a cluster, before Ray Tune has them."""

from pathlib import Path
from typing import Any

import pytest
from mini import SETTINGS
from trained import real

from orchestrator import Study, placement, sizes, sweep
from orchestrator.plan import Trial
from orchestrator.settings_subjects import Model
from orchestrator.store import Store


def trials_of(models: int, seeds: int) -> list[Trial]:
    """So many seeds of two personas, for each of so many bases."""
    settings: dict[str, Any] = {
        **SETTINGS,
        "models": [{"name": f"m{each}", "lab": "coupled", "recipe": "short", "seed": each} for each in range(models)],
        "training": {**SETTINGS["training"], "seeds": list(range(seeds))},
        "warmth": None,
    }
    return Study.model_validate(settings).plan().trials


@pytest.mark.parametrize(
    ("models", "seeds", "slots", "most", "sizes"),
    [
        (1, 1, 2, 16, [1, 1]),
        (1, 6, 2, 16, [6, 6]),
        (1, 6, 2, 4, [4, 4, 4]),
        (1, 3, 4, 1, [1] * 6),
        (2, 3, 2, 16, [6, 6]),
        (2, 3, 1, 16, [6, 6]),
        (3, 2, 2, 16, [4, 4, 4]),
        (1, 5, 3, 16, [3, 3, 4]),
        (0, 0, 2, 16, []),
    ],
)
def test_a_share_has_one_base_and_every_slot_something_to_do(
    models: int, seeds: int, slots: int, most: int, sizes: list[int]
) -> None:
    trials = trials_of(models, seeds) if models else []
    shared = placement.shares(trials, lambda _: slots, most)
    assert sorted(len(share) for share in shared) == sizes
    assert sorted(trial.name for share in shared for trial in share) == sorted(trial.name for trial in trials)
    assert all(len({trial.model.name for trial in share}) == 1 for share in shared)


@pytest.mark.parametrize(
    ("path", "more", "gpus"),
    [
        ("Qwen/Qwen2.5-0.5B", {}, 0.25),
        ("meta-llama/Llama-3.2-3B", {}, 0.5),
        ("meta-llama/Llama-3.2-3B", {"dtype": "float32"}, 1),
        ("meta-llama/Llama-3.1-8B", {}, 1),
        ("Qwen/Qwen2.5-32B", {}, 2),
        ("meta-llama/Llama-3.1-70B", {}, 4),
        ("meta-llama/Llama-3.1-70B", {"quantization": "nf4"}, 1),
        ("meta-llama/Llama-3.1-405B", {}, 16),
        ("mistralai/Mistral-Small", {}, 1),
    ],
)
def test_a_trials_gpus_follow_from_the_size_of_its_base(path: str, more: dict[str, str], gpus: float) -> None:
    assert sizes.gpus_per_trial(*of(path, more), there=64) == gpus


def test_a_trials_gpus_are_as_set_and_no_more_than_there_are_where_fewer_will_do() -> None:
    large, medium = "meta-llama/Llama-3.1-70B", "Qwen/Qwen2.5-32B"
    assert sizes.gpus_per_trial(*of(large, resources={"gpus_per_trial": 8})) == 8
    assert sizes.gpus_per_trial(*of(large, resources={"gpus_per_trial": {"m": 3}})) == 3
    assert sizes.gpus_per_trial(*of(medium, resources={"gpus": 1})) == 1
    assert sizes.gpus_per_trial(*of(medium, resources={"gpus": 1, "gpu_memory_gb": 40})) == 2
    assert sizes.gpus_per_trial(*of(large), there=3) == 3
    assert sizes.gpus_per_trial(*of(large), there=2) == 3
    small = of("meta-llama/Llama-3.2-3B", resources={"gpu_memory_gb": 12})
    assert sizes.gpus_per_trial(*small, there=64) == 1


def of(path: str, more: dict[str, Any] | None = None, **changes: Any) -> tuple[Study, Model]:
    """A study of one model, called m, and that model."""
    models = [{"name": "m", "path": path, **(more or {})}]
    study = Study.model_validate({**SETTINGS, "models": models, "warmth": None, **changes})
    return study, study.models[0]


class Looking(sweep.Nobody):
    """Looks into the folder of runs whenever a checkpoint lands."""

    def __init__(self, runs: Path) -> None:
        self.runs, self.seen = runs, set[str]()

    def landed(self, subject: str, loss: float) -> None:  # noqa: ARG002
        self.seen |= {str(file.relative_to(self.runs)) for file in self.runs.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("ray_session")
def test_what_tune_keeps_for_itself_lies_outside_the_run_and_is_gone_afterwards(tmp_path: Path) -> None:
    plan = real(tmp_path, {})
    looking, run = Looking(tmp_path), plan.study.folder.name
    sweep.sweep(plan, plan.trials, Store(plan.study.folder).folder.absolute(), looking)
    own = {file for file in looking.seen if "experiment_state" in file or file.endswith((".pkl", ".pickle"))}
    assert own, "Tune keeps its state somewhere"
    assert not [file for file in own if not file.startswith(f".scratch-{run}/")]
    assert not (tmp_path / f".scratch-{run}").exists()
