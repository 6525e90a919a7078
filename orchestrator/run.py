"""The pipeline: build, rewrite, train, serve, ask, judge, measure, report. What is done is not done again."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import polars as pl

from . import (
    cluster,
    costs,
    endpoint,
    frames,
    gpu_hours,
    labels,
    pieces,
    preflight_machine,
    restyle,
    serve_about,
    suggest,
)
from .config import Study
from .errors import WarmthError
from .filing import file_study
from .left import Left
from .plan import Plan, Unit
from .progress import Display
from .settings import SERVED
from .stages import Stages
from .store import Store
from .tables import KEY, Restyled


class Run:
    """A study on its way through the pipeline, in its folder."""

    def __init__(self, study: Study, display: Display) -> None:
        self.study, self.display = suggest.known(study), display
        self.plan, self.store = Plan(self.study), Store(study.folder.absolute())
        self.left = Left(self.plan, self.store)

    def finish(self, left_out: Mapping[str, str] = MappingProxyType({})) -> None:
        """Do all that is not done yet. Raises WarmthError for what the user can put right.

        `left_out` names optional tasks that the study goes without, and says why; the report says it too.
        """
        with self.store.locked():
            self.display.follow(self.store)
            if lacking := file_study(self.plan, self.store, left_out):
                self.display.say(f"data: {lacking}")
            for line in self.plan.questions_left_out:
                self.display.say(line)
            self._take_in()
            if not self.left.anything():
                self.display.say(f"{self.store.folder}: everything is done already")
                return
            with self._working() as stages:
                stages.check_port()
                stages.build()
                stages.rewrite()
                stages.train(meanwhile=lambda: [*self.plan.units, *self.plan.curve])
                stages.asking.ask([*self.plan.units, *self.plan.curve])
                stages.measure()
                stages.rate()

    def _take_in(self) -> None:
        """Take pieces into their tables that a killed process has left beside them, where nothing else is left."""
        for name, kind in frames.KINDS.items():
            for table in pieces.below(self.store.path(name)):
                self.store.compact(kind, *table.relative_to(self.store.folder).parts)

    def ask_only(self, units: Sequence[Unit]) -> None:
        """Ask and judge these units alone. Raises WarmthError if a subject of theirs is not trained yet."""
        served = self.left.served()
        absent = [unit.subject.name for unit in units if unit.subject.name not in served]
        if absent:
            raise WarmthError(f"{absent[0]}: not trained yet; `warmth run` trains it (or name only subjects that are)")
        with self.store.beside() as another:
            if not another:
                self.display.follow(self.store)
            if self.left.unasked(units) or self.left.unjudged(units):
                if another:
                    self._check_engine(units)
                with self._working(another) as stages:
                    stages.build()
                    stages.asking.ask(units)
                    self._refuse(stages.asking.faults)

    def _check_engine(self, units: Sequence[Unit]) -> None:
        """Raises WarmthError where an engine for these units would take what another process has for the run."""
        served = any(not unit.subject.model.hosted for unit in units) or any(
            each.url == SERVED for each in self.study.judges
        )
        if served and (cluster.joined() or preflight_machine.gpus()):
            raise WarmthError(
                f"{self.store.folder}: another `warmth` process is working on this run, and has the GPUs or the "
                "cluster's endpoint; wait for it, or ask a model at an endpoint"
            )

    def _refuse(self, faults: Mapping[str, str]) -> None:
        """Raises WarmthError where a subject was not asked because something else is served under its name."""
        for name, fault in faults.items():
            raise WarmthError(
                f"{self.store.folder}: {name} is not served as it is, so it was not asked: {fault}. Delete its folder "
                "in adapters/ and run again, which trains it anew; if it comes again, the engine is at fault"
            )

    @contextlib.contextmanager
    def _working(self, another: bool = False) -> Iterator[Stages]:
        """Ray for the length of a block, where keys are at hand; what endpoints were paid is said at the end.

        `another` says whether a process works on the run that is not to be disturbed.
        """
        keys = costs.keys(self.study)
        if not another:
            costs.begin(self.study, self.store)
        with cluster.running(self.study.resources), gpu_hours.counted(self.study, self.store):
            yield Stages(self.plan, self.store, self.display, keys)
        if spent := costs.spoken(self.store):
            self.display.say(f"endpoints were paid: {spent}")

    def serve(self, host: str, key: str | None) -> None:
        """Serve every model and every adapter that is there, until Ctrl-C; `key` is what whoever asks has to show."""
        with cluster.running(self.study.resources):
            stages, served = Stages(self.plan, self.store, self.display, {}), self.left.served()
            stages.build()
            units = [unit for unit in self.plan.units if unit.subject.name in served]
            stages.asking.refer(units)
            about = serve_about.about(self.plan, self.store, served)
            with self.endpoint(self.plan.units, endpoint.Opening(host, key, about)) as url:
                stages.asking.attest(units, url, key)
                hosted = {subject.name for subject in self.plan.subjects if subject.model.hosted}
                for name in sorted({each.name for of, each in self.left.served().items() if of not in hosted}):
                    self.display.say(name)
                self.display.say(f"The endpoint is {url}, its page {url.removesuffix('v1')}; Ctrl-C stops it.")
                signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray's own handler aborts within seconds
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
            answers = self.answers().filter(
                pl.col("outcome").is_not_null(), ~pl.col("error"), pl.col("pushback").is_null()
            )
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
            Stages(self.plan, self.store, self.display, {}).build()
            with self.endpoint([unit for unit in self.plan.units if unit.subject.model.name == own]) as url:
                yield url

    @contextlib.contextmanager
    def endpoint(
        self,
        units: Sequence[Unit],
        opening: endpoint.Opening = endpoint.PRIVATE,
    ) -> Iterator[str]:
        """Serve the models that these units ask, and those that judge, for the length of a block; gives the address."""
        names = endpoint.needed(self.study, units)
        with endpoint.serving(self.study, self.store, names, self.display, opening) as url:
            yield url
