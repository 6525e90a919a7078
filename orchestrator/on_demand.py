"""Questions on demand: any part of what a study asks, of its subjects or of a model at any endpoint.

A model that is asked at an endpoint becomes one of the run's: it is filed in `endpoints.json`, its replies lie in the
tables beside all others, and reports show it as a model as released.
"""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from .config import Study
from .errors import WarmthError
from .imported import slug
from .plan import Plan, Subject, Unit
from .settings_subjects import Model, Persona
from .store import Store
from .tables import digest

PLACE = "endpoints.json"

S = TypeVar("S", bound=Study)


@dataclass(frozen=True)
class Part:
    """What is wanted of a study: subjects by name or pattern, and how much of what they are asked; all if not given."""

    subjects: Sequence[str] = ("*",)
    tasks: Sequence[str] | None = None
    contexts: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    "Training seeds; subjects that were not trained have none, and are always among them."
    n: int | None = None
    "So many questions of each task: the same that a study of so many `samples` asks."


def narrowed(study: S, part: Part, workers: int | None = None) -> S:
    """The study with the part's tasks and questions alone. Trials and subjects stay what they are called."""
    content: dict[str, Any] = study.model_dump()
    asked = content["evaluation"]
    if part.tasks is not None:
        known = {task["name"]: task for task in asked["tasks"]}
        asked["tasks"] = tuple(known.get(task, task) for task in part.tasks)
    if part.n is not None:
        asked["samples"] = part.n
        asked["tasks"] = tuple(_at_most(task, part.n) for task in asked["tasks"])
    if workers is not None:
        content["resources"]["workers"] = workers
    return _valid(type(study), content)


def _at_most(task: Any, n: int) -> Any:
    return {**task, "samples": n} if isinstance(task, dict) else task


def units(plan: Plan, part: Part) -> list[Unit]:
    """What is asked of whom. Raises WarmthError if that is nobody, or a context is none of the study's."""
    contexts = part.contexts and _contexts(plan.study, part.contexts)
    chosen = [subject for subject in plan.subjects if _is_wanted(subject, part)]
    if not chosen:
        names = ", ".join(subject.name for subject in plan.subjects[:4])
        seeds = f" with seed {', '.join(map(str, part.seeds))}" if part.seeds else ""
        raise WarmthError(
            f"no subject is named {', '.join(part.subjects)}{seeds}; there is {names}, ... (`warmth plan --subjects`)"
        )
    told = [dataclasses.replace(each, contexts=tuple(contexts)) if contexts else each for each in chosen]
    return [Unit(subject, task.name) for subject in told for task in plan.study.evaluation.tasks if subject.contexts]


def _contexts(study: Study, wanted: Sequence[str]) -> list[str]:
    there = study.evaluation.contexts
    if unknown := [name for name in wanted if name not in there]:
        raise WarmthError(f"contexts: the study does not ask in {', '.join(unknown)}; it does in {', '.join(there)}")
    return [name for name in there if name in wanted]


def _is_wanted(subject: Subject, part: Part) -> bool:
    named = any(fnmatch.fnmatch(subject.name, each) for each in part.subjects)
    return named and (part.seeds is None or subject.trial is None or subject.trial.seed in part.seeds)


# ------------------------------------------------------------------- endpoints
def model_at(endpoint: Mapping[str, Any]) -> Model:
    """A model at an endpoint, named after itself; the settings are those of a hosted one, `url` and `model` first."""
    try:
        model = Model.model_validate({"name": "endpoint", "hosted": dict(endpoint)})
        assert model.hosted is not None
        of = digest(model.hosted.url.rstrip("/"), model.hosted.model, length=6)
        return model.model_copy(update={"name": f"{slug(model.hosted.model.lower())[:40]}-{of}".strip("-.")})
    except ValidationError as error:
        raise _explained(error) from error


def file(store: Store, model: Model) -> None:
    """Make a model one of the run's, or give it the prices that it has now."""
    others = [each for each in _filed(store) if each["name"] != model.name]
    store.write_json([*others, model.model_dump(mode="json")], PLACE)


def _filed(store: Store) -> list[dict[str, Any]]:
    return list(store.read_json(PLACE)) if store.has(PLACE) else []


def joined(study: S, store: Store) -> S:
    """A study with the models that its run asked at endpoints besides: as released, and as nothing else."""
    known = {model.name for model in study.models}
    more = [model for model in _filed(store) if model["name"] not in known]
    if not more:
        return study
    content: dict[str, Any] = study.model_dump()
    only = {persona.name: study.only.get(persona.name, tuple(sorted(known))) for persona in study.personas}
    released = next((persona.name for persona in study.personas if persona.kind == "original"), None)
    if released is None:
        content["personas"] = (Persona(name="original", kind="original").model_dump(), *content["personas"])
    names = tuple(model["name"] for model in more)
    only[released or "original"] = (*(only[released] if released else ()), *names)
    return _valid(type(study), {**content, "models": (*content["models"], *more), "only": only})


def _valid(kind: type[S], content: Mapping[str, Any]) -> S:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise _explained(error) from error


def _explained(error: ValidationError) -> WarmthError:
    lines = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return WarmthError("\n".join(lines))
