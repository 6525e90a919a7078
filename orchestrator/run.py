"""The pipeline: build -> train -> serve -> ask -> judge -> measure -> report. What is done is not done again."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from . import cluster, evaluate, findings, frames, judge, measure, models, report, trials
from .config import Judge, Study
from .errors import WarmthError
from .evaluate import Served
from .findings import Findings
from .plan import Plan, Subject, Trial, Unit
from .progress import Display
from .store import Store
from .tables import Chat


class Run:
    """A study on its way through the pipeline, in its folder."""

    def __init__(self, study: Study, display: Display) -> None:
        self.study, self.display = study, display
        self.plan, self.store = Plan(study), Store(study.folder.absolute())

    def finish(self) -> None:
        """Do all that is not done yet. Raises WarmthError for what the user can put right."""
        with self.store.locked():
            file_study(self.plan, self.store)
            if not self.is_finished():
                with cluster.running(self.study.resources):
                    self._build()
                    self._train()
                    self.ask(self.plan.units)
                    self._measure()
            else:
                self.display.say(f"{self.store.folder}: everything is done already")

    def is_finished(self) -> bool:
        """Whether nothing is left to do; looks at files alone."""
        return not (
            self._untrained() or self._unasked(self.plan.units) or self._unjudged(self.plan.units) or self._unmeasured()
        )

    def ask_only(self, subjects: Sequence[Subject]) -> None:
        """Ask and judge these subjects alone. Raises WarmthError if one of them is not trained yet."""
        absent = [subject.name for subject in subjects if subject.name not in self.served()]
        if absent:
            raise WarmthError(f"{absent[0]}: not trained yet; `warmth run` trains it (or name only subjects that are)")
        units = [unit for unit in self.plan.units if unit.subject in subjects]
        with self.store.locked():
            if self._unasked(units) or self._unjudged(units):
                with cluster.running(self.study.resources):
                    self._build()
                    self.ask(units)

    def serve(self) -> None:
        """Serve every model and every adapter that is there, until Ctrl-C."""
        with cluster.running(self.study.resources):
            self._build()
            with self.endpoint(self.plan.units) as url:
                for name in sorted({served.name for served in self.served().values()}):
                    self.display.say(name)
                self.display.say(f"The endpoint is {url}; Ctrl-C stops it.")
                threading.Event().wait()

    def report(self) -> Findings:
        """The findings of what is on file; written to `report/` in the run's folder."""
        served = self.served()
        answers = frames.answers(self.plan, self.store, served)
        if answers.is_empty():
            raise WarmthError(f"{self.store.folder}: there are no replies to report on yet; `warmth run` gets them")
        warmth = frames.warmth(self.plan, self.store, answers)
        personas = [persona.name for persona in self.study.personas]
        found = findings.build(answers, warmth, frames.trial_rows(self.plan, self.store), personas)
        report.write(found, self.about(), self.store.path("report"))
        return found

    def about(self) -> dict[str, Any]:
        """What a reader of the report must know about how its figures came about."""
        return {
            "study": self.study.name,
            "counts": self.plan.counts(),
            "settings": self.study.model_dump(mode="json", exclude={"resources"}),
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {name: version(name) for name in ("torch", "transformers", "peft", "ray", "polars")},
        }

    # --------------------------------------------------------------- what is left, by looking at files
    def _untrained(self) -> list[Trial]:
        return [trial for trial in self.plan.trials if not trials.record(self.store, trial)]

    def served(self) -> dict[str, Served]:
        """What can be asked, by the subject's name; the checkpoints of a failed trial are not there."""
        adapters = trials.adapters(self.store, self.plan)
        there = [subject for subject in self.plan.subjects if subject.trial is None or subject.name in adapters]
        return {subject.name: evaluate.served_as(subject, adapters) for subject in there}

    def _unasked(self, units: Sequence[Unit]) -> dict[Unit, int]:
        served = self.served()
        left = {
            unit: len(evaluate.missing(self.plan, self.store, unit, served[unit.subject.name]))
            for unit in units
            if unit.subject.name in served
        }
        return {unit: count for unit, count in left.items() if count}

    def _unjudged(self, units: Sequence[Unit]) -> list[tuple[Judge, Unit]]:
        pairs = ((each, unit) for each in self.study.judges for unit in units)
        return [(each, unit) for each, unit in pairs if judge.unscored(self.store, each, unit)]

    def _unmeasured(self) -> list[Subject]:
        if self.study.warmth is None:
            return []
        return [subject for subject in self.plan.subjects if measure.unmeasured(self.store, subject, *self._ruler())]

    def _ruler(self) -> tuple[Any, ...]:
        asked, settings = self.study.evaluation, self.study.warmth
        known = {model.name: models.identity(model) for model in self.study.models}
        assert settings is not None
        return asked.tasks, asked.contexts[0], measure.ruler(settings, known.get(settings.scorer, settings.scorer))

    # --------------------------------------------------------------- the stages
    def _build(self) -> None:
        waiting = models.unbuilt(self.study.models)
        if waiting:
            from . import build

            build.build(waiting, self.display)

    def _train(self) -> None:
        waiting = self._untrained()
        if waiting:
            from . import sweep

            stage = self.display.stage("train", sum(len(trial.checkpoints) for trial in waiting), "checkpoints")
            sweep.sweep(self.plan, waiting, self.store.folder, min(1, cluster.gpus()), lambda note: stage.advance(1, note))

    def ask(self, units: Sequence[Unit]) -> None:
        """Get every missing reply of these units, and every missing verdict on them."""
        waiting = self._unasked(units)
        asking = bool(waiting) or any(each.url == "served" and self._unjudged(units) for each in self.study.judges)
        with self.endpoint(list(waiting) or units) if asking else contextlib.nullcontext("") as url:
            if waiting:
                stage = self.display.stage("ask", sum(waiting.values()), "replies")
                adapters = trials.adapters(self.store, self.plan)
                asker = (self.plan, self.store.folder, url, adapters, self.study.resources.in_flight)
                self._share(
                    evaluate.Asker,
                    asker,
                    list(waiting),
                    lambda unit, failed: stage.advance(
                        waiting[unit], f"{failed} failed" if failed else unit.subject.name
                    ),
                )
            for each in self.study.judges:
                self._judge(each, units, url)

    def _judge(self, by: Judge, units: Sequence[Unit], url: str) -> None:
        waiting = [unit for each, unit in self._unjudged(units) if each == by]
        if waiting:
            stage = self.display.stage(f"judge {by.name}", len(waiting), "units")
            scorer = (by, self.plan, self.store.folder, url, self.study.resources.in_flight)
            self._share(
                judge.Scorer,
                scorer,
                waiting,
                lambda unit, failed: stage.advance(1, f"{failed} failed" if failed else unit.subject.name),
            )

    def _measure(self) -> None:
        waiting, settings = self._unmeasured(), self.study.warmth
        if waiting and settings:
            stage = self.display.stage("warmth", len(waiting), "subjects")
            weights = models.scorer(settings.scorer, self.study.models)
            ruler = (weights, settings, self.store.folder, *self._ruler())
            self._share(measure.Measurer, ruler, waiting, lambda subject, _: stage.advance(1, subject.name))

    def _share(
        self, worker: type[Any], arguments: Sequence[Any], units: Sequence[Any], done: Callable[[Any, Any], None]
    ) -> None:
        from . import workers

        workers.share(worker, arguments, units, min(self.study.resources.workers, len(units)), done)

    @contextlib.contextmanager
    def endpoint(self, units: Sequence[Unit]) -> Iterator[str]:
        """Serve the models that these units ask, for the length of a block; gives the endpoint's address."""
        from . import serve

        asked = {unit.subject.model.name: unit.subject.model for unit in units}
        bases = {name: models.chat_model(model) for name, model in asked.items()}
        resources = self.study.resources
        self.display.say(f"serve: starting {', '.join(bases)}")
        url = serve.deploy(bases, str(self.store.path("adapters")), port=resources.port, rows=resources.rows)
        try:
            yield url
        finally:
            serve.shut_down()


def file_study(plan: Plan, store: Store) -> None:
    """Put the resolved study and the conversations it trains on into the run's folder."""
    store.write_json(plan.study.model_dump(mode="json"), "study.json")
    trained = [persona for persona in plan.study.personas if persona.trained]
    if trained and not store.has("chats.arrow"):
        store.write_rows(plan.chats, Chat, "chats.arrow")
    for persona in trained:
        place = ("rewrites", f"{persona.name}-{plan.data_digest(persona)}.arrow")
        if persona.kind == "rewritten" and not store.has(*place):
            store.write_rows(plan.tuning_chats(persona), Chat, *place)
