"""What is on file about trials. A trial is finished when its trial.json is there, and its adapters with it.

A hosted model's trial leaves no adapters here: its checkpoints are models at its endpoint, known by their names.
"""

from typing import Any

from .plan import Plan, Trial
from .store import Store


def record(store: Store, trial: Trial) -> dict[str, Any] | None:
    """What is on file about a finished trial; None if it is not finished or an adapter of it is gone."""
    if not store.has("trials", trial.name, "trial.json"):
        return None
    found: dict[str, Any] = store.read_json("trials", trial.name, "trial.json")
    whole = trial.model.hosted or all(
        store.has("adapters", kept["adapter"], "adapter_model.safetensors") for kept in found["checkpoints"]
    )
    return found if whole else None


def failure(store: Store, trial: Trial) -> str | None:
    """Why a trial failed the last time, if it did."""
    return (
        store.read_json("trials", trial.name, "failed.json")["error"]
        if store.has("trials", trial.name, "failed.json")
        else None
    )


def adapters(store: Store, plan: Plan) -> dict[str, str]:
    """The adapter folder, or the hosted model's name, of every checkpoint that is there, by the subject's name."""
    finished = ((trial, record(store, trial)) for trial in plan.trials)
    return {
        trial.subject(kept["epoch"]): kept["adapter"]
        for trial, found in finished
        if found
        for kept in found["checkpoints"]
    }
