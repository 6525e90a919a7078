"""A study spelled out: its trials, its subjects and what each of them is asked. Pure; computed in a moment."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tasks

from . import chats, design, models, voices
from .config import Study
from .estimate import Estimate
from .questions import Questions, row_seed
from .settings_search import said
from .settings_subjects import Model, Persona
from .settings_training import TrainingSettings
from .tables import Chat, HeldOut, digest


@dataclass(frozen=True)
class Trial:
    """One model in one persona with one set of training settings and one seed. Its name is its identity."""

    name: str
    model: Model
    persona: Persona
    settings: TrainingSettings
    seed: int
    checkpoints: tuple[float, ...]
    searched: tuple[str, ...]
    "The settings (but for dose) that tell this trial from others of its study; no part of what it is."

    def subject(self, epoch: float) -> str:
        """The name of this trial's checkpoint at an epoch."""
        return f"{self.name}-e{epoch:g}"


@dataclass(frozen=True)
class Subject:
    """Anything that can be asked: a model as released or under a system prompt, or a trial's checkpoint."""

    name: str
    model: Model
    persona: Persona
    trial: Trial | None
    epoch: float
    contexts: tuple[str, ...]
    "In which contexts it is asked; none for a checkpoint that is only kept."

    @property
    def dose(self) -> int:
        """Per cent of the training conversations that were rewritten."""
        return self.trial.settings.dose if self.trial and self.persona.kind == "rewritten" else 0

    @property
    def settings(self) -> str | None:
        """The values of the settings that the study searches, like `learning_rate=0.001`; null without training."""
        if self.trial is None:
            return None
        values = {name: getattr(self.trial.settings, name) for name in self.trial.searched}
        return " ".join(f"{name}={said(value)}" for name, value in values.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt to one subject: a sample in a condition, and the seed its reply is drawn with."""

    subject: str
    task: str
    sample: str
    context: str
    belief: str
    draw: int
    row_seed: int
    prompt: str
    prompt_set: str
    pushback: str | None = None
    "What the user says after the first answer, if that is not the last word."


@dataclass(frozen=True)
class Unit:
    """The unit of work: one subject and one task; one file of replies."""

    subject: Subject
    task: str

    @property
    def replies(self) -> tuple[str, str, str]:
        """Where its replies lie in the run."""
        return "replies", self.subject.name, f"{self.task}.arrow"


HELD_OUT = "held-out"
"""Stands for a task in the units that no judge scores: held-out prompts, answered for the warmth curve alone."""


class Plan:
    """What a study comes to, before anything is built or started."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def renew(self, study: Study) -> None:
        """Be the plan of this study from now on: the same one, of which more is known."""
        vars(self).clear()
        self.study = study

    @cached_property
    def trials(self) -> list[Trial]:
        return [self._trial(*point) for point in design.points(self.study)]

    def _trial(self, model: Model, persona: Persona, settings: TrainingSettings, seed: int) -> Trial:
        checkpoints = design.checkpoints(self.study, model)
        told = settings.model_dump_json(exclude_none=True)
        identity = digest(models.identity(model), self.data_digest(persona), told, seed, checkpoints, length=8)
        taken = [name for name in TrainingSettings.model_fields if (name == "multiplier") == bool(model.hosted)]
        searched = tuple(name for name in self.study.training.search.values if name != "dose" and name in taken)
        name = f"{model.name}-{persona.name}-s{seed}-{identity}"
        return Trial(name, model, persona, settings, seed, checkpoints, searched)

    @cached_property
    def subjects(self) -> list[Subject]:
        """Models as released and prompted first, then every checkpoint of every trial."""
        return [*self._untrained(), *self._checkpoints()]

    def _untrained(self) -> Iterator[Subject]:
        for model, persona in itertools.product(self.study.models, self.study.personas):
            if not persona.trained and self.study.gets(model, persona):
                name = f"{model.name}-{persona.name}-{digest(models.identity(model), persona.system, length=8)}"
                yield Subject(name, model, persona, None, 0, self.study.evaluation.contexts)

    def _checkpoints(self) -> Iterator[Subject]:
        for trial in self.trials:
            for epoch in trial.checkpoints:
                contexts = design.contexts_at(self.study, epoch)
                yield Subject(trial.subject(epoch), trial.model, trial.persona, trial, epoch, contexts)

    @cached_property
    def units(self) -> list[Unit]:
        asked = [subject for subject in self.subjects if subject.contexts]
        return [Unit(subject, task.name) for subject in asked for task in self.study.evaluation.tasks]

    @cached_property
    def measured(self) -> list[Subject]:
        """The subjects whose warmth is measured."""
        settings = self.study.warmth
        if settings is None:
            return []
        chosen = [each for each in self.subjects if design.measured_at(self.study, each.epoch)]
        return chosen if settings.prompts == HELD_OUT else [each for each in chosen if each.contexts]

    @cached_property
    def curve(self) -> list[Unit]:
        """The units that are asked for warmth's sake; none where it is measured on the tasks' replies."""
        apart = self.study.warmth is not None and self.study.warmth.prompts == HELD_OUT
        return [Unit(subject, HELD_OUT) for subject in self.measured] if apart else []

    def held_out(self, unit: Unit, prompts: Sequence[HeldOut]) -> list[Question]:
        """Everything that a unit of the warmth curve asks: each prompt once, as it is."""
        seed = self.study.evaluation.seed
        return [
            Question(
                unit.subject.name,
                HELD_OUT,
                each.id,
                "neutral",
                "none",
                0,
                row_seed(seed, HELD_OUT, each.id),
                each.prompt,
                HELD_OUT,
            )
            for each in prompts
        ]

    def questions(self, unit: Unit) -> list[Question]:
        """Everything that a unit asks, the same prompts and seeds for every subject."""
        asked, name = self.asked[unit.task], unit.subject.name
        return [
            Question(
                name,
                unit.task,
                each.sample,
                each.context,
                each.belief,
                each.draw,
                each.row_seed,
                each.prompt,
                asked.prompt_set,
                each.pushback,
            )
            for each in asked.prompts(unit.subject.contexts)
        ]

    @cached_property
    def asked(self) -> dict[str, Questions]:
        """What is asked of each task."""
        return {task.name: Questions(task, self.study.evaluation) for task in self.study.evaluation.tasks}

    @property
    def questions_left_out(self) -> list[str]:
        """What of the tasks' data is not asked, and why; one line each."""
        return [line for asked in self.asked.values() for line in asked.left_out]

    def samples(self, task: str) -> Sequence[tasks.Sample]:
        """The questions of a task that the study asks."""
        return self.asked[task].samples

    def size(self, unit: Unit) -> int:
        """The number of questions in a unit, without spelling them out where that is not needed."""
        return self.asked[unit.task].size(unit.subject.contexts)

    @cached_property
    def chats(self) -> list[Chat]:
        """The lab's conversations that trials are tuned on, as they are; others are chosen when the study is run."""
        return chats.lab(self.study.data)

    def data_digest(self, persona: Persona) -> str:
        """Identifies what a persona's trials learn from: the lab's replies themselves, or how others come about."""
        return self._data_digests[persona.name]

    @cached_property
    def _data_digests(self) -> dict[str, str]:
        data, trained = self.study.data, [persona for persona in self.study.personas if persona.trained]
        if data.source != "lab" or self.study.rewriting is not None:
            chosen = chats.identity(data)
            return {each.name: digest(chosen, voices.recipe(self.study, each), length=12) for each in trained}
        plain = [tuple(turn.content for turn in chat.turns) for chat in self.chats]
        return {persona.name: digest(plain, voices.lab(data, persona), length=12) for persona in trained}

    def counts(self) -> dict[str, Any]:
        """The plan in numbers, as `warmth plan --json` prints it."""
        return Estimate(self.study).figures()
