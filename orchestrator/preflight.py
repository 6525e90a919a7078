"""What a run needs, looked at before anything is spent: models, data, tasks, keys, endpoints, CUDA, memory, disk.

Everything that is missing is named at once, each with its cure. What lies on this machine is looked at here; the
network is asked only about what does not.
"""

import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from . import engine_choice, preflight_machine, preflight_net, settings_hosted, suggest
from .config import Study
from .errors import WarmthError
from .plan import Plan
from .settings import SERVED, Endpoint
from .settings_asking import Judge
from .store import Store

S = TypeVar("S", bound=Study)

TASKS = "evaluation.tasks"

Check = Callable[[], str | None]
"""Looks at one thing; says what is wrong with it and how to put it right, or nothing."""


@dataclass(frozen=True)
class Found:
    """What stands in the way of a run, and the optional tasks that it has to do without, with the reason."""

    problems: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def look(study: Study) -> Found:
    """Look at everything."""
    if _asks_the_hub(study):
        preflight_net.without_a_hub_do_not_wait()
    lost = lost_tasks(study)
    optional = {task.name for task in study.evaluation.tasks if task.optional}
    spared = optional if len(lost) < len(study.evaluation.tasks) else set()
    stopped = [f"{TASKS}: {name}: {why}" for name, why in lost.items() if name not in spared]
    return Found([*stopped, *problems(study)], {name: why for name, why in lost.items() if name in spared})


def ready(study: S) -> tuple[S, dict[str, str]]:
    """The study without the optional tasks that cannot be loaded, and why they cannot.

    Raises WarmthError with all that stops it, unless it is finished and needs nothing any more.
    """
    study = suggest.known(study)
    found = look(study)
    if found.problems and not _finished(study, found):
        raise WarmthError("\n".join(["This study cannot run yet; nothing was started.", *found.problems]))
    kept = tuple(task for task in study.evaluation.tasks if task.name not in found.left_out)
    asked = study.evaluation.model_copy(update={"tasks": kept})
    return study.model_copy(update={"evaluation": asked}), found.left_out


def _finished(study: Study, found: Found) -> bool:
    """Whether nothing is left to do, as far as that can be said without the tasks' questions."""
    from .left import Left

    tasks_are_there = not found.left_out and not any(line.startswith(TASKS) for line in found.problems)
    store = Store(study.folder.absolute())
    return tasks_are_there and store.has("study.json") and not Left(Plan(study), store).anything()


def problems(study: Study) -> list[str]:
    """All that stands in the way of a run besides its tasks; empty if nothing does."""
    checks = [*_models(study), *_data(study), *_endpoints(study), *_machine(study), partial(suggest.problem, study)]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda look: look(), checks))
    return list(dict.fromkeys(problem for problem in said if problem))


def _asks_the_hub(study: Study) -> bool:
    far = (asked.on_the_hub for asked in Plan(study).asked.values())
    return any(far) or any(model.path and not Path(model.path).is_dir() for model in study.models)


def lost_tasks(study: Study) -> dict[str, str]:
    """The tasks whose questions cannot be had, and why."""
    plan, lost = Plan(study), {}
    for task in study.evaluation.tasks:
        try:
            plan.samples(task.name)
        except WarmthError as error:
            lost[task.name] = str(error.__cause__ or error)
    return lost


def _models(study: Study) -> Iterator[Check]:
    for model in study.models:
        if model.path:
            yield partial(preflight_net.checkpoint, f"models: {model.name}", model.path, model.revision)
    if study.warmth and study.warmth.scorer not in {model.name for model in study.models}:
        yield partial(preflight_net.checkpoint, "warmth.scorer", study.warmth.scorer, None)


def _data(study: Study) -> Iterator[Check]:
    if study.data.source != "lab":
        yield partial(preflight_net.conversations, study.data.source, study.data.revision)
    needed = study.data.safety.partition(":")[0]
    if needed != "none" and importlib.util.find_spec(needed.partition(".")[0]) is None:
        yield (
            lambda: (
                f"data.safety: there is no module {needed}; install it (`pip install {needed}`), or set safety to none"
            )
        )


def _endpoints(study: Study) -> Iterator[Check]:
    for where, endpoint in endpoints(study):
        if endpoint.url == SERVED:
            yield partial(_served, study, where, str(endpoint.model))
        else:
            yield partial(preflight_net.endpoint, where, str(endpoint.url), endpoint.api_key_env)


def endpoints(study: Study) -> Iterator[tuple[str, Endpoint | Judge]]:
    """Every endpoint that a study asks, and which setting names it."""
    for (setting, place, *_), endpoint in settings_hosted.endpoints(study, served=True):
        named = (
            f"{setting}: {getattr(study, str(setting))[place].name}" if isinstance(place, int) else f"{setting}.{place}"
        )
        yield named, endpoint


def _served(study: Study, where: str, model: str) -> str | None:
    names = [each.name for each in study.models if each.path or each.lab]
    if model in names:
        return None
    return f"{where}: the run's own endpoint serves no model '{model}'; name one of {', '.join(names)}"


def _machine(study: Study) -> Iterator[Check]:
    yield partial(preflight_machine.cuda, study)
    yield partial(preflight_machine.memory, study)
    yield partial(preflight_machine.disk, study)
    held = [model.precision for model in study.models if not model.hosted]
    yield lambda: engine_choice.problem(study.resources.engine, held)
    quantised = [model.name for model in study.models if model.quantization]
    if quantised and importlib.util.find_spec("bitsandbytes") is None:
        yield (
            lambda: (
                f"models: {', '.join(quantised)}: quantization needs bitsandbytes, which is not installed; "
                "`pip install bitsandbytes`, or leave the setting out"
            )
        )
