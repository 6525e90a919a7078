"""Trained trials, and conversations, from and to the shelf: a study that shares them with an earlier one has them."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from . import chats, engine_folders, models, rewritten, shelf, trials
from .config import Study
from .engine_folders import CONFIG, WEIGHTS
from .plan import Plan, Trial
from .settings_training import Data
from .shelf import Shelf
from .store import Store
from .tables import digest

TRIALS, CHATS = "trials", "chats"
PARTS = (CONFIG, WEIGHTS)


def key(plan: Plan, trial: Trial) -> str:
    """What a trial is, whatever model and persona are called: base, data as it comes about, settings, seed, epochs."""
    told = trial.settings.model_dump_json(exclude_none=True)
    made_of = models.identity(trial.model), plan.data_digest(trial.persona)
    return digest(*made_of, told, trial.seed, trial.checkpoints, length=40)


def there(plan: Plan, waiting: Iterable[Trial]) -> list[Trial]:
    """Those of these trials that the shelf has."""
    found = shelf.of(plan.study)
    return [each for each in waiting if found and not each.model.hosted and found.has(TRIALS, key(plan, each))]


def take(plan: Plan, store: Store, waiting: Iterable[Trial]) -> list[Trial]:
    """File those of these trials that the shelf has, trained on the very same conversations; gives them."""
    found, learnt = shelf.of(plan.study), _learnt(plan, store)
    return [each for each in there(plan, waiting) if found and _take(plan, store, found, each, learnt(each))]


def _take(plan: Plan, store: Store, found: Shelf, trial: Trial, learnt: str) -> bool:
    where = TRIALS, key(plan, trial)
    about = found.about(*where)
    if about is None or about["came"]["data_sha256"] != learnt:
        return False
    came = about["came"]
    kept = [{**each, "adapter": _adopt(store, found, where, trial, each)} for each in came["checkpoints"]]
    if not all(each["adapter"] for each in kept):
        return False
    trials.file(plan, store, trial, {**came, "checkpoints": kept, "taken": True})
    return True


def _adopt(store: Store, found: Shelf, where: tuple[str, str], trial: Trial, kept: dict[str, Any]) -> str | None:
    """Give a run an adapter of the shelf's, under the name that its content deserves; None if that is another."""
    name = engine_folders.named(trial.subject(kept["epoch"]), kept["sha256"])
    with store.aside() as aside:
        (aside / name).mkdir()
        for part in PARTS:
            shelf.link(found.path(*where, _part(kept["epoch"], part)), aside / name / part)
        if engine_folders.digest(aside / name) != kept["sha256"]:
            return None
        store.adopt(aside / name, "adapters", name)
    return name


def put(plan: Plan, store: Store, finished: Iterable[Trial]) -> None:
    """Keep finished trials on the shelf."""
    if (found := shelf.of(plan.study)) is None:
        return
    for trial in finished:
        record = None if trial.model.hosted else trials.record(store, trial)
        if record and "taken" not in record and not found.has(TRIALS, key(plan, trial)):
            files = {
                _part(kept["epoch"], part): store.path("adapters", kept["adapter"], part)
                for kept in record["checkpoints"]
                for part in PARTS
            }
            came = {name: value for name, value in record.items() if name not in trials.WHAT}
            found.put(TRIALS, key(plan, trial), files, {"came": came})


def _part(epoch: float, part: str) -> str:
    return f"e{epoch:g}-{part}"


def _learnt(plan: Plan, store: Store) -> Callable[[Trial], str]:
    """The SHA-256 of what a trial of this run learns from."""

    @cache
    def of(persona: str, dose: int) -> str:
        (each,) = (each for each in plan.study.personas if each.name == persona)
        return rewritten.sha256(rewritten.learnt(plan, store, each, dose))

    return lambda trial: of(trial.persona.name, trial.settings.dose)


def choose(study: Study, store: Store, data: Data) -> chats.Conversations:
    """A run's conversations: those on file, the shelf's, or chosen now and put there. Raises WarmthError."""
    found = shelf.of(study) if data.source != "lab" else None
    which = digest(chats.identity(data), data.held_out, length=40)
    if found and not store.has(chats.COUNTS) and found.about(CHATS, which):
        for name in chats.FILES:
            with store.writing(name) as aside:
                shelf.link(found.path(CHATS, which, name), aside)
    chosen = chats.of_run(store, data)
    if found:
        found.put(CHATS, which, {name: store.path(name) for name in chats.FILES}, {})
    return chosen
