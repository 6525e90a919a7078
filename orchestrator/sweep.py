"""Ray Tune over the plan's trials. Those of a base go in shares: a share is a Tune trial that keeps the base loaded."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ray import tune

from . import attest_reference, cluster, gpu_hours, handover, models, placement, sizes, sweep_wide, trials
from .cluster import Room
from .config import Study
from .errors import WarmthError
from .plan import Plan, Trial
from .settings_subjects import Model
from .store import Store
from .sweep_stopping import Stopping
from .sweep_wide import Place

RETRIES = 2
"""How often Tune starts a share again whose worker died or failed; what is finished of it stays so."""


class Listener(Protocol):
    """Who hears how a sweep goes."""

    def say(self, line: str) -> None:
        """Something worth a line."""

    def begun(self, needs: Mapping[str, Room]) -> None:
        """The shares, by name, and what each takes of the cluster until it has ended."""

    def landed(self, subject: str, loss: float) -> None:
        """A checkpoint is there; the loss is that of its last step, in nats per token."""

    def ended(self, share: str) -> None:
        """A share is through, well or not."""


class Nobody:
    """Hears nothing."""

    def say(self, line: str) -> None:
        pass

    def begun(self, needs: Mapping[str, Room]) -> None:
        pass

    def landed(self, subject: str, loss: float) -> None:
        pass

    def ended(self, share: str) -> None:
        pass


def sweep(plan: Plan, waiting: Iterable[Trial], folder: Path, listener: Listener | None = None) -> None:
    """Train trials, as many at once as the cluster holds. A trial that fails is filed, and the others go on.

    Raises WarmthError where the cluster can never hold one, or has no room for one for too long.
    """
    store, left, listener = Store(folder), list(waiting), listener or Nobody()
    bases = {trial.model for trial in left}
    places = {base: Place.of(plan.study.resources, gpus_here(plan.study, base)) for base in bases}
    for base, place in places.items():
        handover.make_sure(place.bundles, f"a trial of {base.name}", listener.say)
    word = plan.study.training.search.scheduler
    shared = placement.shares(left, lambda model: places[model].slots, placement.most_in_a_share(plan.study))
    parts = {part[0].name: part for part in shared}
    listener.begun({name: places[part[0].model].room for name, part in parts.items()})
    for trial in left:
        trials.forget_failure(store, trial.name)
    trainable = tune.with_parameters(_train, plan=plan, parts=parts, folder=folder, places=places)
    bundles = {name: places[part[0].model].bundle for name, part in parts.items()}
    with store.scratch() as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, lambda config: bundles[config["share"]]),
            param_space={"share": tune.grid_search(list(parts))},
            tune_config=tune.TuneConfig(
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
                scheduler=Stopping(word, store, parts) if word else None,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(scratch),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[_Watcher(listener)],
                stop=_OutOfTime(folder),
                verbose=0,
            ),
        )
        _file_failures(store, parts, tuner.fit())


def gpus_here(study: Study, model: Model) -> float:
    """The GPUs of a trial of this model on the cluster that runs; 0 where there are none.

    Raises WarmthError where a trial takes more than a cluster that cannot grow has.
    """
    there = max(cluster.gpus(), (study.resources.gpus or 0) if cluster.joined() else 0)
    wanted = sizes.gpus_per_trial(study, model, there) if there else 0
    if wanted > there:
        raise WarmthError(
            f"resources.gpus_per_trial: a trial of {model.name} takes {wanted:g} GPUs, and the cluster has {there:g}: "
            "lower it, take a smaller or quantised model, or join a larger cluster (RAY_ADDRESS)"
        )
    return wanted


class _Watcher(tune.Callback):
    """Hears how shares go, and passes it on. Tune pickles it, which a live display cannot be: a copy tells nobody."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def __reduce__(self) -> tuple[Any, ...]:
        return _Watcher, (Nobody(),)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        if "subject" in result:
            self._listener.landed(result["subject"], result["loss"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        self._listener.ended(_name(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        self._listener.ended(_name(trial))


class _OutOfTime(tune.Stopper):
    """Stops all trials once the budget's GPU time is used up; each goes on from its last checkpoint another time."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        return False

    def stop_all(self) -> bool:
        return gpu_hours.over(self._store)


def _name(trial: Any) -> str:
    return str(trial.config["share"])


def _file_failures(store: Store, parts: dict[str, list[Trial]], results: tune.ResultGrid) -> None:
    """Say of each trial that was left when its share failed in all attempts why it did."""
    for result in results:
        if not result.error:
            continue
        told = str(result.error).strip()
        for trial in parts[(result.config or {})["share"]]:
            if not trials.record(store, trial) and not trials.failure(store, trial):
                trials.file_failure(store, trial.name, told.splitlines()[-1], traceback=told)


def _train(
    config: dict[str, Any], plan: Plan, parts: dict[str, list[Trial]], folder: Path, places: dict[Model, Place]
) -> None:
    """A share: in one process, or in as many as a trial of its base takes."""
    share = parts[config["share"]]
    if (place := places[share[0].model]).processes > 1:
        sweep_wide.train(plan, share, folder, place)
    else:
        _train_here(plan, share, folder)


def _train_here(plan: Plan, share: list[Trial], folder: Path) -> None:
    """A share in this process: what is not finished of it, on a base that stays for the next share."""
    from . import train
    from .sweep_filing import Filing, job

    store = Store(folder)
    left = {trial.name: trial for trial in share if trials.record(store, trial) is None}
    if not left:
        return
    first = next(iter(left.values()))
    resident = train.resident(models.chat_model(first.model), first.model.precision)
    filing = Filing(plan, store, left, tune.report, attest_reference.beside_training(plan, store))
    jobs, resources = (job(plan, store, trial) for trial in left.values()), plan.study.resources
    train.train_all(resident, jobs, filing, resources.pack, resources.tokens_at_once)
