"""A run's folder as findings see it: a planned study's replies, imported ones, or both. Nothing is asked."""

from functools import cached_property
from pathlib import Path
from typing import Self

import polars as pl

import tasks

from . import attest_files, config, frames, imported, on_demand, published
from .errors import WarmthError
from .evaluate import Served
from .imported import Who
from .left import Left
from .plan import Plan
from .settings_analysis import Analysis
from .store import STUDY, Store


class OnFile:
    """What is on file in a run. `plan` is None where replies were only imported."""

    def __init__(self, store: Store, plan: Plan | None) -> None:
        self.store, self.plan = store, plan

    @classmethod
    def at(cls, store: Store, empty: bool = False) -> Self:
        """What is on file in a folder. Raises WarmthError if it is no run, unless an `empty` one will do."""
        if not empty:
            store.check_run()
        return cls.asked_by(config.of_run(store.folder), store) if store.has(STUDY) else cls(store, None)

    @classmethod
    def asked_by(cls, study: config.Study, store: Store) -> Self:
        """What is on file of a study, and of the models that were asked its questions at endpoints."""
        return cls(store, Plan(on_demand.joined(study, store)))

    @classmethod
    def of(cls, folder: str | Path) -> Self:
        return cls.at(Store(Path(folder).absolute()))

    @property
    def name(self) -> str:
        return self.store.folder.name

    @property
    def analysis(self) -> Analysis:
        return self.plan.study.analysis if self.plan else Analysis()

    @cached_property
    def pieces(self) -> list[imported.Piece]:
        return imported.of_run(self.store)

    @property
    def personas(self) -> list[str]:
        """In order: the study's, then those imported; `original` always comes first."""
        planned = [persona.name for persona in self.plan.study.personas] if self.plan else []
        every = [*planned, *(piece.persona for piece in self.pieces)]
        return sorted(dict.fromkeys(every), key=lambda name: name != "original")

    @property
    def refusing_is_right(self) -> list[str]:
        """The tasks in which a refusal is no error, those that were imported under other names included."""
        names = dict.fromkeys([*tasks.names(), *(piece.task for piece in self.pieces)])
        ours = [name for name in tasks.names() if tasks.load(name).refusing_is_right]
        return [name for name in names if published.task(name) in ours]

    @cached_property
    def served(self) -> dict[str, Served]:
        """The study's subjects that are there, by name, as they are served; none where there is no study."""
        return Left(self.plan, self.store).served() if self.plan else {}

    @cached_property
    def planned(self) -> pl.DataFrame | None:
        """The answers that are the study's own; None where there is no study."""
        return frames.answers(self.plan, self.store, self.served) if self.plan else None

    @cached_property
    def attested(self) -> pl.DataFrame:
        """The last certificate of everything that the study asks; none where there is no study."""
        return attest_files.certificates(self.plan, self.store, self.served) if self.plan else attest_files.none()

    @cached_property
    def answers(self) -> pl.DataFrame:
        """One row per reply and judge; see `frames.answers`. Raises WarmthError if there is nothing on file."""
        parts = [
            part for part in (self.planned, imported.answers(self.store) if self.pieces else None) if part is not None
        ]
        found = pl.concat(parts, how="diagonal") if parts else pl.DataFrame()
        if found.is_empty():
            raise WarmthError(f"{self.store.folder}: there are no replies to report on yet; `warmth run` gets them")
        return found

    def question_ids(self, task: str) -> dict[str, str]:
        """The names of the questions that the study asks in a task, by their words; none if they cannot be had."""
        asked = self.plan.asked.get(task) if self.plan else None
        try:
            return {sample.question: sample.id for sample in asked.samples} if asked else {}
        except WarmthError:
            return {}

    def check_apart(self, who: Who) -> None:
        """Raises WarmthError if a subject of the study goes by the same model, persona, epoch and seed."""
        for subject in self.plan.subjects if self.plan else ():
            seed = subject.trial.seed if subject.trial else None
            if (subject.model.name, subject.persona.name, subject.epoch, seed) == (
                who.model,
                who.persona,
                who.epoch,
                who.seed,
            ):
                raise WarmthError(
                    f"{self.store.folder}: the study has {subject.name}, the same model, persona, epoch and seed; give"
                    " --persona or --seed another name or number. Nothing was imported."
                )
