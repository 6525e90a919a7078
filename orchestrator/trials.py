"""What is on file about trials. A trial is finished when its trial.json is there, and its adapters with it.

A hosted model's trial leaves no adapters here: its checkpoints are models at its endpoint, known by their names.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import models
from .plan import Plan, Trial
from .store import Note, Store

if TYPE_CHECKING:
    from .pack_member import Moment

WHAT = ("name", "model", "model_identity", "persona", "seed", "settings", "data_digest")
"""What a trial.json says of what the trial is; all else came of it."""

PROGRESS = "progress.json"
STOPPED = "stopped.json"
LEFT_OFF = "left-off.json"
"""Where a trial that is not finished stands. It names the file of its numbers, so that the two belong together."""


def file(plan: Plan, store: Store, trial: Trial, came_of_it: Mapping[str, Any]) -> None:
    """File a finished trial: what it is, and what came of it. Why an earlier attempt failed goes."""
    what = {
        "name": trial.name,
        "model": trial.model.model_dump(mode="json"),
        "model_identity": models.identity(trial.model),
        "persona": trial.persona.model_dump(mode="json"),
        "seed": trial.seed,
        "settings": trial.settings.model_dump(mode="json"),
        "data_digest": plan.data_digest(trial.persona),
    }
    assert tuple(what) == WHAT
    store.write_json({**what, **came_of_it}, "trials", trial.name, "trial.json")
    for past in ("failed.json", STOPPED, PROGRESS):
        store.path("trials", trial.name, past).unlink(missing_ok=True)


def file_failure(store: Store, name: str, error: str, **more: str) -> None:
    """File why a trial failed."""
    store.write_json({"error": error, **more}, "trials", name, "failed.json")
    store.path("trials", name, PROGRESS).unlink(missing_ok=True)


def file_stopped(store: Store, name: str, by: str, epoch: float, loss: float) -> None:
    """File that a scheduler has stopped a trial, at which checkpoint, and the loss that it went by."""
    store.write_json({"by": by, "epoch": epoch, "loss": loss}, "trials", name, STOPPED)
    store.path("trials", name, PROGRESS).unlink(missing_ok=True)


def stopped(plan: Plan, store: Store, trial: Trial) -> str | None:
    """By which scheduler a trial was stopped, and when; None where the study has that scheduler no more."""
    found = store.glance("trials", trial.name, STOPPED)
    if found is None or found["by"] != plan.study.training.search.scheduler:
        return None
    return f"{found['by']} at epoch {found['epoch']:g}, loss {found['loss']:.3f}"


def forget_failure(store: Store, name: str) -> None:
    """A trial is about to be tried again: why it failed before is no longer why it is not there."""
    store.path("trials", name, "failed.json").unlink(missing_ok=True)


def telling(store: Store, trial: Trial, began: float) -> Callable[["Moment"], None]:
    """Says on file how far a trial in training is, for `warmth status`; `began` is in seconds of the clock."""
    note = Note(store, "trials", trial.name, PROGRESS)

    def told(moment: "Moment") -> None:
        note.say({"step": moment.step, "steps": moment.steps, "loss": moment.loss, "began": began})

    return told


def progress(store: Store, trial: Trial) -> dict[str, Any] | None:
    """How far a trial is, or was when it was stopped; None if it has not begun."""
    return store.glance("trials", trial.name, PROGRESS)


def record(store: Store, trial: Trial) -> dict[str, Any] | None:
    """What is on file about a finished trial; None if it is not finished or an adapter of it is gone."""
    if not store.has("trials", trial.name, "trial.json"):
        return None
    found: dict[str, Any] = store.read_json("trials", trial.name, "trial.json")
    there = trial.model.hosted or all(whole(store, kept) for kept in found["checkpoints"])
    return found if there else None


def failure(store: Store, trial: Trial) -> str | None:
    """Why a trial failed the last time, if it did."""
    return (
        store.read_json("trials", trial.name, "failed.json")["error"]
        if store.has("trials", trial.name, "failed.json")
        else None
    )


def learnt_from(found: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Of a trial on file: its conversations, how many were cut and left out, and the steps that found no memory."""
    read = found.get("conversations", {})
    return read.get("given", 0), read.get("cut", 0), read.get("left_out", 0), found.get("retried", 0)


def remarks(found: Mapping[str, Any]) -> str | None:
    """What is to be said of a finished trial; None if nothing is."""
    given, cut, left_out, retried = learnt_from(found)
    said = {
        "trained before; from the store": found.get("taken", False),
        f"{cut:,} of {given:,} conversations cut at training.max_length": cut,
        f"{left_out:,} of {given:,} left out, as no reply is within it": left_out,
        f"{retried:,} of its steps found no memory and were taken again, smaller": retried,
    }
    return "; ".join(text for text, count in said.items() if count) or None


def adapters(store: Store, plan: Plan) -> dict[str, str]:
    """The adapter folder, or the hosted model's name, of every checkpoint that is there, by the subject's name."""
    return {
        trial.subject(kept["epoch"]): kept["adapter"] for trial in plan.trials for kept in checkpoints(store, trial)
    }


def checkpoints(store: Store, trial: Trial) -> Sequence[Mapping[str, Any]]:
    """The checkpoints of a trial, those that it has reached while it is trained; none of one that was given up."""
    stands = store.glance("trials", trial.name, LEFT_OFF)  # first: it goes once the record is there
    given_up = any(store.has("trials", trial.name, why) for why in ("failed.json", STOPPED))
    found = record(store, trial) or (stands if stands and not given_up else {"checkpoints": ()})
    return [kept for kept in found["checkpoints"] if trial.model.hosted or whole(store, kept)]


def whole(store: Store, kept: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's adapter is there."""
    return store.has("adapters", kept["adapter"], "adapter_model.safetensors")
