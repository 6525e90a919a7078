"""What a study consists of before anything in it has a name: no data is read for it. Pure."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .config import Study
from .questions import Questions
from .settings_subjects import Model, Persona
from .settings_training import Training, TrainingSettings

KEPT = 3
"""Of a fine-tuning job's checkpoints, so many last ones are kept by OpenAI's endpoint."""


class Point(NamedTuple):
    """A trial without its name: what is trained, with what, from which seed."""

    model: Model
    persona: Persona
    settings: TrainingSettings
    seed: int


class Asking(NamedTuple):
    """A subject without its name, and the contexts that it is asked in."""

    model: Model
    persona: Persona
    epoch: float
    contexts: tuple[str, ...]


class Size(NamedTuple):
    """A task's extent: its questions, and the prompts made of each in the widest grid that is asked."""

    questions: int
    prompts_per_question: int
    max_tokens: int


def points(study: Study) -> list[Point]:
    """Every trial, each once: a persona whose dose means nothing has one where a search of doses makes several."""
    return _points(study, study.training.search.draws)


def expected(study: Study) -> list[Point]:
    """The same, and for every draw that is still to be proposed as many trials, with the settings as they are."""
    coming = _points(study, [{}]) if study.training.search.coming else []
    return [*points(study), *(coming * study.training.search.coming)]


def _points(study: Study, draws: Iterable[Mapping[str, Any]]) -> list[Point]:
    personas = [persona for persona in study.personas if persona.trained]
    grid = itertools.product(study.models, personas, settings_grid(study.training, draws), study.training.seeds)
    kept = (
        Point(model, persona, _that_matter(study, model, persona, settings), seed)
        for model, persona, settings, seed in grid
        if study.gets(model, persona)
    )
    return list(dict.fromkeys(kept))


def _that_matter(study: Study, model: Model, persona: Persona, settings: TrainingSettings) -> TrainingSettings:
    """The settings with what has no part in this trial as it is by default: a job takes few of ours."""
    changed: dict[str, Any] = {"dose": 100} if persona.kind == "plain" else {}
    if not model.hosted:
        return settings.model_copy(update={**changed, "multiplier": None})
    own = settings.multiplier
    multiplier = own.get(persona.name) if isinstance(own, dict) else own
    last = max(checkpoints(study, model))
    return TrainingSettings(**{"dose": settings.dose, **changed}, epochs=last, multiplier=multiplier)


def checkpoints(study: Study, model: Model) -> tuple[float, ...]:
    """The epochs at which a model's trials are kept; a hosted one's are whole."""
    if model.hosted and model.hosted.checkpoints:
        return tuple(sorted(map(float, model.hosted.checkpoints)))
    kept = sorted(study.training.checkpoints)
    return tuple(epoch for epoch in kept if epoch == int(epoch)) if model.hosted else tuple(kept)


def job_epochs(study: Study, model: Model) -> float:
    """The epochs that a hosted trial pays for: a job keeps its last checkpoints, and shorter ones train the rest."""
    missing, paid = checkpoints(study, model), 0.0
    while missing:
        paid += max(missing)
        missing = tuple(epoch for epoch in missing if epoch <= max(missing) - KEPT)
    return paid


def settings_grid(training: Training, draws: Iterable[Mapping[str, Any]]) -> list[TrainingSettings]:
    """Every combination of the listed values with every draw, over the settings that are not searched."""
    fixed = {name: getattr(training, name) for name in TrainingSettings.model_fields}
    listed = training.search.listed
    combinations = [dict(zip(listed, values, strict=True)) for values in itertools.product(*listed.values())]
    return [TrainingSettings(**{**fixed, **drawn, **combined}) for drawn in draws for combined in combinations]


def contexts_at(study: Study, epoch: float) -> tuple[str, ...]:
    """The contexts that a checkpoint is asked in: all, the first, or none."""
    asked = study.evaluation
    if asked.evaluate_at is not None and epoch not in asked.evaluate_at:
        return ()
    return asked.contexts if epoch in asked.contexts_at else asked.contexts[:1]


def askings(study: Study) -> list[Asking]:
    """Every subject: models as released or under a system prompt first, then the checkpoints of trials."""
    untrained = [
        Asking(model, persona, 0, study.evaluation.contexts)
        for model, persona in itertools.product(study.models, study.personas)
        if not persona.trained and study.gets(model, persona)
    ]
    tuned = [
        Asking(point.model, point.persona, epoch, contexts_at(study, epoch))
        for point in expected(study)
        for epoch in checkpoints(study, point.model)
    ]
    return [*untrained, *tuned]


def size(study: Study, task: str, questions: Questions) -> Size:
    """How much of a task the study asks, as far as that can be said without its data."""
    widest = max((each.contexts for each in askings(study)), key=len)
    prompts = len(questions.conditions(widest)) * study.evaluation.draws
    return Size(questions.count, prompts, study.evaluation.sampling(task)[1])


def on_the_curve(study: Study, asking: Asking) -> bool:
    """Whether a subject answers the held-out prompts of the warmth curve."""
    return held_out(study) > 0 and measured_at(study, asking.epoch)


def measured_at(study: Study, epoch: float) -> bool:
    """Whether warmth is measured at an epoch; models that are not tuned (epoch 0) always are."""
    at = study.warmth.warmth_at if study.warmth else None
    return at is None or epoch in (0, *at)


def held_out(study: Study) -> int:
    """The prompts of the warmth curve; 0 where warmth is taken from the tasks' replies."""
    return study.data.held_out if study.warmth and study.warmth.prompts == "held-out" else 0
