"""The pipeline: build, rewrite, train, serve, ask, judge, measure, report. What is done is not done again."""

import asyncio
import contextlib
import dataclasses
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import polars as pl

import tasks

from . import (
    chats,
    cluster,
    costs,
    evaluate,
    findings,
    frames,
    judge,
    labels,
    measure,
    models,
    rating,
    report,
    restyle,
    rewrite,
    rewritten,
    trials,
)
from .config import Study
from .errors import WarmthError
from .findings import Findings
from .left import Left
from .plan import Plan, Subject, Trial, Unit
from .progress import Display, Stage
from .settings import SERVED
from .settings_asking import Judge
from .settings_warmth import Warmth
from .store import Store
from .tables import KEY, Restyled


class Run:
    """A study on its way through the pipeline, in its folder."""

    def __init__(self, study: Study, display: Display) -> None:
        self.study, self.display = study, display
        self.plan, self.store = Plan(study), Store(study.folder.absolute())
        self.left = Left(self.plan, self.store)
        self._keys: dict[str, str] = {}

    def finish(self, left_out: Mapping[str, str] = MappingProxyType({})) -> None:
        """Do all that is not done yet. Raises WarmthError for what the user can put right.

        `left_out` names optional tasks that the study goes without, and says why; the report says it too.
        """
        with self.store.locked():
            if lacking := file_study(self.plan, self.store, left_out):
                self.display.say(f"data: {lacking}")
            for line in self.plan.questions_left_out:
                self.display.say(line)
            if not self.left.anything():
                self.display.say(f"{self.store.folder}: everything is done already")
                return
            with self._working():
                self._check_port()
                self._build()
                self._rewrite()
                self._train()
                self._ask([*self.plan.units, *self.plan.curve])
                self._measure()
                self._rate()

    def ask_only(self, subjects: Sequence[Subject]) -> None:
        """Ask and judge these subjects alone. Raises WarmthError if one of them is not trained yet."""
        absent = [subject.name for subject in subjects if subject.name not in self.left.served()]
        if absent:
            raise WarmthError(f"{absent[0]}: not trained yet; `warmth run` trains it (or name only subjects that are)")
        units = [unit for unit in self.plan.units if unit.subject in subjects]
        with self.store.locked():
            if self.left.unasked(units) or self.left.unjudged(units):
                with self._working():
                    self._build()
                    self._ask(units)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Ray for the length of a block, where keys are at hand; what endpoints were paid is said at the end."""
        self._keys = costs.keys(self.study)
        costs.begin(self.store)
        with cluster.running(self.study.resources):
            yield
        if spent := costs.spoken(self.store):
            self.display.say(f"endpoints were paid: {spent}")

    def serve(self) -> None:
        """Serve every model and every adapter that is there, until Ctrl-C."""
        with cluster.running(self.study.resources):
            self._build()
            with self.endpoint(self.plan.units) as url:
                hosted = {subject.name for subject in self.plan.subjects if subject.model.hosted}
                for name in sorted({each.name for of, each in self.left.served().items() if of not in hosted}):
                    self.display.say(name)
                self.display.say(f"The endpoint is {url}; Ctrl-C stops it.")
                threading.Event().wait()

    def answers(self) -> pl.DataFrame:
        """What is on file of the plan, one row per reply and judge. Raises WarmthError if that is nothing."""
        found = frames.answers(self.plan, self.store, self.left.served())
        if found.is_empty():
            raise WarmthError(f"{self.store.folder}: there are no replies to report on yet; `warmth run` gets them")
        return found

    def restyle(self, n: int, seed: int) -> None:
        """Have replies said again in other styles and judged again; see `restyle`."""
        with self.store.locked():
            answers = self.answers().filter(pl.col("outcome").is_not_null(), ~pl.col("error"))
            drawn = labels.draw(answers, self.study.judges[0].name, n, seed).select(KEY)
            with self._serving_judges() as url:
                rows = asyncio.run(restyle.judge_again(self.plan, self.store.folder, answers.join(drawn, on=KEY), url))
            self.store.write_rows(rows, Restyled, *restyle.PLACE)

    @contextlib.contextmanager
    def _serving_judges(self) -> Iterator[str]:
        """The run's own endpoint, if a judge or the rewriter is one of the study's models; otherwise nothing."""
        rewriter = self.study.rewriting.rewriter if self.study.rewriting else None
        own = rewriter.model if rewriter and rewriter.url == SERVED else None
        if own is None and all(each.url != SERVED for each in self.study.judges):
            yield ""
            return
        with cluster.running(self.study.resources):
            self._build()
            with self.endpoint([unit for unit in self.plan.units if unit.subject.model.name == own]) as url:
                yield url

    def report(self) -> Findings:
        """The findings of what is on file; written to `report/` in the run's folder."""
        answers = self.answers()
        warmth = frames.warmth(self.plan, self.store, answers, self.left.served())
        personas = [persona.name for persona in self.study.personas]
        right = [name for name in tasks.names() if tasks.load(name).refusing_is_right]
        share = (self.study.warmth or Warmth(scorer="none")).plateau
        trained, marked = frames.trial_rows(self.plan, self.store), labels.marked(self.store)
        restyled = frames.restyled(self.plan, self.store)
        built = findings.build(answers, warmth, trained, personas, right, share, labels=marked, restyled=restyled)
        found = dataclasses.replace(built, balance=frames.balance(self.plan, self.store))
        described = {**about(self.plan, self.store), **rewritten.about(self.plan, self.store)}
        report.write(found, described, self.store.path("report"))
        return found

    @contextlib.contextmanager
    def endpoint(self, units: Sequence[Unit]) -> Iterator[str]:
        """Serve the models that these units ask, and those that judge, for the length of a block; gives the address."""
        asked = {unit.subject.model.name for unit in units}
        asked |= {str(each.model) for each in self.study.judges if each.url == SERVED}
        with self._serving(asked) as url:
            yield url

    @contextlib.contextmanager
    def _serving(self, asked: Collection[str]) -> Iterator[str]:
        from . import serve

        served = [model for model in self.study.models if model.name in asked and not model.hosted]
        if not served:
            yield ""
            return
        bases = {model.name: models.chat_model(model) for model in served}
        resources = self.study.resources
        self.display.say(f"serve: starting {', '.join(bases)}")
        url = serve.deploy(
            bases,
            str(self.store.path("adapters")),
            port=resources.port,
            precisions={model.name: model.precision for model in served},
            rows=resources.rows,
            cpus=min(1, cluster.cpus() / len(bases)),
            gpus=min(1, cluster.gpus() / len(bases)),
        )
        try:
            yield url
        finally:
            serve.shut_down()

    # --------------------------------------------------------------- the stages
    def _check_port(self) -> None:
        """A port that cannot be had must not be found out after the training."""
        if all(model.hosted for model in self.study.models):
            return
        from . import serve

        serve.check_port("127.0.0.1", self.study.resources.port)

    def _build(self) -> None:
        waiting = models.unbuilt(self.study.models)
        if waiting:
            from . import build

            build.build(waiting, self.display)

    def _rewrite(self) -> None:
        waiting, asked = self.left.unwritten(), self.study.rewriting
        if not waiting:
            return
        chosen = chats.of_run(self.store, self.study.data).chats
        batches = rewrite.batches(chosen, waiting)
        endpoints = [each for each in (asked.rewriter, asked.fact_checker) if each] if asked else []
        own = {each.model for each in endpoints if each.url == SERVED}
        stage = self.display.stage("rewrite", sum(len(batch.exchanges) for batch in batches), "replies")
        with self._serving(own) if own else contextlib.nullcontext("") as url:
            writer = (self.plan, self.store.folder, url, self.study.resources.in_flight)
            workers = self.study.resources.workers if asked else 0
            written = rewrite.write(batches, writer, workers, stage.advance, self._keys)
        costs.check(self.study, self.store)
        self.display.say(f"rewrite: {rewritten.settle(self.plan, self.store, chosen, written).told()}")

    def _train(self) -> None:
        untrained = self.left.untrained()
        with self._tuning([trial for trial in untrained if trial.model.hosted]):
            self._train_here([trial for trial in untrained if not trial.model.hosted])
        costs.check(self.study, self.store)

    @contextlib.contextmanager
    def _tuning(self, waiting: list[Trial]) -> Iterator[None]:
        """Jobs at endpoints go on for the length of a block, and are waited for at its end."""
        from . import hosted

        tuning = hosted.Tuning(self.plan, waiting, self.store)
        tuning.begin()
        yield
        if waiting:
            stage = self.display.stage("tune", len(waiting), "hosted trials")
            tuning.finish(lambda trial: stage.advance(1, trial))

    def _train_here(self, waiting: list[Trial]) -> None:
        if waiting:
            from . import sweep

            stage = self.display.stage("train", sum(len(trial.checkpoints) for trial in waiting), "checkpoints")
            gpus = min(1, cluster.gpus())
            sweep.sweep(self.plan, waiting, self.store.folder, gpus, lambda note: stage.advance(1, note))

    def _ask(self, units: Sequence[Unit]) -> None:
        """Get every missing reply and verdict of these units: as many models at a time as there is room for."""
        names, room = self._models_to_ask(units), cluster.slots()
        hosted = [model.name for model in self.study.models if model.hosted and model.name in names]
        here = [name for name in names if name not in hosted]
        for start in range(0, max(len(here), 1), room):
            together = here[start : start + room] + (hosted if start == 0 else [])
            self._ask_of([unit for unit in units if unit.subject.model.name in together])

    def _models_to_ask(self, units: Sequence[Unit]) -> list[str]:
        waiting = [*self.left.unasked(units), *(unit for _, unit in self.left.unjudged(units))]
        return list(dict.fromkeys(unit.subject.model.name for unit in waiting))

    def _ask_of(self, units: Sequence[Unit]) -> None:
        waiting = alternating(self.left.unasked(units))
        by_own = [each for each in self.study.judges if each.url == "served"]
        asking = waiting or (by_own and self.left.unjudged(units))
        with self.endpoint(list(waiting) or units) if asking else contextlib.nullcontext("") as url:
            if waiting:
                stage = self.display.stage("ask", sum(waiting.values()), "replies")
                adapters = trials.adapters(self.store, self.plan)
                asker = (self.plan, self.store.folder, url, adapters, self.study.resources.in_flight)
                self._share(evaluate.Asker, asker, waiting, stage)
                costs.check(self.study, self.store)
            for each in self.study.judges:
                self._judge(each, units, url)

    def _judge(self, by: Judge, units: Sequence[Unit], url: str) -> None:
        waiting = {unit: 1 for each, unit in self.left.unjudged(units) if each == by}
        if waiting:
            stage = self.display.stage(f"judge {by.name}", len(waiting), "units")
            scorer = (by, self.plan, self.store.folder, url, self.study.resources.in_flight)
            self._share(judge.Scorer, scorer, waiting, stage)
            costs.check(self.study, self.store)

    def _measure(self) -> None:
        waiting, settings = self.left.unmeasured(), self.study.warmth
        if waiting and settings:
            stage = self.display.stage("warmth", len(waiting), "subjects")
            weights = models.scorer(settings.scorer, self.study.models)
            ruler = (weights, models.openers(settings, self.study.models), settings, self.store.folder)
            names = measure.rulers(settings, self.study.models)
            arguments = (*ruler, *self.left.measured_on(), names)
            self._share(measure.Measurer, arguments, dict.fromkeys(waiting, 1), stage)

    def _rate(self) -> None:
        waiting, settings = self.left.unrated(), self.study.warmth
        if waiting and settings and settings.judge:
            stage = self.display.stage("rate", len(waiting), "subjects")
            rater = (settings.judge, self.store.folder, *self.left.measured_on(), self.study.resources.in_flight)
            self._share(rating.Rater, (*rater, costs.cap(self.study)), dict.fromkeys(waiting, 1), stage)
            costs.check(self.study, self.store)

    def _share(self, worker: type[Any], arguments: Sequence[Any], weights: dict[Any, int], stage: Stage) -> None:
        """Give units of work to actors; `weights` says how much of the stage each one is."""
        from . import workers

        def done(unit: Any, failed: int) -> None:
            name = unit.subject.name if isinstance(unit, Unit) else unit.name
            stage.advance(weights[unit], f"{name}: {failed} failed" if failed else name)

        count = min(self.study.resources.workers, len(weights))
        workers.share(worker, arguments, list(weights), count, done, keys=self._keys)


def alternating(waiting: Mapping[Unit, int]) -> dict[Unit, int]:
    """The same units, the models taking turns, so that no engine waits for another to be done."""
    met: Counter[str] = Counter()
    turns = {}
    for unit in waiting:
        met[unit.subject.model.name] += 1
        turns[unit] = met[unit.subject.model.name]
    return {unit: waiting[unit] for unit in sorted(waiting, key=turns.__getitem__)}


def file_study(plan: Plan, store: Store, left_out: Mapping[str, str]) -> str:
    """Put the resolved study, what it asks and goes without, and the conversations it trains on into the run's folder.

    Says which kinds of conversations were too few.
    """
    data = chats.resolved(plan.study.data)
    store.write_json(dict(left_out), "left_out.json")
    store.write_json(plan.study.model_copy(update={"data": data}).model_dump(mode="json"), "study.json")
    for task, asked in plan.asked.items():
        drawn = [sample.id for sample in asked.samples]
        store.write_json({"samples": drawn, "left out": asked.left_out}, "questions", f"{task}.json")
    trained = [persona for persona in plan.study.personas if persona.trained]
    return chats.missing(chats.of_run(store, data).counts) if trained or data.held_out else ""


def about(plan: Plan, store: Store) -> dict[str, Any]:
    """What a reader of the report must know about how its figures came about."""
    lost = store.read_json("left_out.json") if store.has("left_out.json") else {}
    return {
        "study": plan.study.name,
        **({"tasks left out": lost} if lost else {}),
        **({"questions left out": plan.questions_left_out} if plan.questions_left_out else {}),
        "counts": plan.counts(),
        "settings": plan.study.model_dump(mode="json", exclude={"resources"}),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "ray", "polars")},
    }
