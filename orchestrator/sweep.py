"""Ray Tune over the plan's trials."""

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ray import tune

from . import engine_folders, models, rewritten, trials
from .plan import Plan, Trial
from .store import Store

RETRIES = 2
"""How often Tune starts a trial again whose worker died or failed."""


def sweep(
    plan: Plan, waiting: Iterable[Trial], folder: Path, gpus: float, on_checkpoint: Callable[[str], None]
) -> None:
    """Train trials, as many at once as the cluster holds. A trial that fails is filed, and the others go on."""
    store, by_name = Store(folder), {trial.name: trial for trial in waiting}
    trainable = tune.with_parameters(_trial, plan=plan, by_name=by_name, folder=folder)
    with store.aside() as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": gpus}),
            param_space={"trial": tune.grid_search(list(by_name))},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_name_creator=_name, trial_dirname_creator=_name),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(scratch),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[_Watcher(on_checkpoint)],
                verbose=0,
            ),
        )
        _file_failures(store, tuner.fit())


class _Watcher(tune.Callback):
    """Hears of every checkpoint. Tune pickles it, which a live display cannot be: a copy hears nothing."""

    def __init__(self, on_checkpoint: Callable[[str], None]) -> None:
        self._on_checkpoint = on_checkpoint

    def __reduce__(self) -> tuple[Any, ...]:
        return _Watcher, (_deaf,)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        self._on_checkpoint(f"{trial} loss {result['loss']:.3f}")


def _deaf(_: str) -> None:
    """Hears nothing."""


def _name(trial: Any) -> str:
    return str(trial.config["trial"])


def _file_failures(store: Store, results: tune.ResultGrid) -> None:
    """Say of each trial that failed in all its attempts why it did."""
    for result in results:
        if result.error:
            told = str(result.error).strip()
            trials.file_failure(store, (result.config or {})["trial"], told.splitlines()[-1], traceback=told)


def _trial(config: dict[str, Any], plan: Plan, by_name: dict[str, Trial], folder: Path) -> None:
    """One trial on one worker: adapters first, trial.json last."""
    from . import train

    trial, store, began = by_name[config["trial"]], Store(folder), time.time()
    base = models.chat_model(trial.model)
    kept: list[dict[str, Any]] = []

    def keep(epoch: float, moment: train.Moment, model: Any) -> None:
        adapter, sha = _file_adapter(store, trial.subject(epoch), model, base)
        kept.append({"epoch": epoch, "step": moment.step, "loss": moment.loss, "adapter": adapter, "sha256": sha})
        tune.report(
            {"epoch": epoch, "loss": moment.loss},
            checkpoint=tune.Checkpoint.from_directory(str(store.path("adapters", adapter))),
        )

    learnt = rewritten.learnt(plan, store, trial.persona, trial.settings.dose)
    told = trials.telling(store, trial, began)
    trained = train.train(
        base, learnt, trial.settings, trial.seed, trial.checkpoints, keep, trial.model.precision, told
    )
    trials.file(
        plan,
        store,
        trial,
        {
            "data_sha256": rewritten.sha256(learnt),
            "checkpoints": kept,
            "conversations": {"given": len(learnt), "cut": trained.cut, "left_out": trained.left_out},
            "losses": trained.losses,
            "seconds": time.time() - began,
            "versions": train.versions(),
        },
    )


def _file_adapter(store: Store, subject: str, model: Any, base: str) -> tuple[str, str]:
    """Keep an adapter under its subject's name and its own SHA-256; other weights of that subject go."""
    from . import train

    with store.aside() as aside:
        sha = train.save(model, aside / "adapter", base)
        name = engine_folders.named(subject, sha)
        for old in store.names("adapters"):
            if old.startswith(f"{subject}-") and old != name:
                shutil.rmtree(store.path("adapters", old))
        store.adopt(aside / "adapter", "adapters", name)
    return name, sha
