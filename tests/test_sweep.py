"""How trials are shared out before Ray Tune has them."""

from typing import Any

import pytest
from mini import SETTINGS

from orchestrator import Study, sweep
from orchestrator.plan import Trial


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
    shared = sweep.shares(trials, slots, most)
    assert sorted(len(share) for share in shared) == sizes
    assert sorted(trial.name for share in shared for trial in share) == sorted(trial.name for trial in trials)
    assert all(len({trial.model.name for trial in share}) == 1 for share in shared)
