"""The Python API: a study that can be planned, run, asked on demand and reported."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from . import config
from .errors import WarmthError
from .settings import SERVED

if TYPE_CHECKING:
    import polars as pl

    from .checking import Checked
    from .findings import Findings
    from .plan import Plan
    from .regression import Fit
    from .sharing import Texts
    from .status import Status
    from .submit import Submitted


class Study(config.Study):
    """A whole experiment. `Study.load("configs/lab.yaml")` and `Study(name=..., ...)` build equal objects."""

    @classmethod
    def load(cls, file: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a YAML file; `overrides` are `key.path=value` strings. Raises ConfigError naming every mistake."""
        found = config.load(file, overrides, cls)
        assert isinstance(found, cls)
        return found

    @classmethod
    def of(cls, run: str | Path) -> Self:
        """The study in a run's folder. Raises WarmthError if there is none, or it cannot be read."""
        found = config.of_run(run, cls)
        assert isinstance(found, cls)
        return found

    def plan(self) -> "Plan":
        """What the study comes to: `.trials`, `.subjects`, `.units`, `.counts()`."""
        from . import suggest
        from .plan import Plan

        return Plan(suggest.known(self))

    def run(self) -> "Findings":
        """Do all that is not done yet, and report. Raises WarmthError for what you can put right."""
        from . import preflight
        from .progress import Display
        from .run import Run

        study, left_out = preflight.ready(self)
        with Display() as display:
            Run(study, display).finish(left_out)
        return study.report()

    def evaluate(
        self,
        subjects: Sequence[str] = ("*",),
        tasks: Sequence[str] | None = None,
        workers: int | None = None,
        *,
        contexts: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        n: int | None = None,
        endpoint: Mapping[str, Any] | None = None,
    ) -> "pl.DataFrame":
        """Ask and judge on demand: any part of the study's questions, with so many workers.

        `subjects` by name or pattern (`*-warm-*-e2`), any `tasks`, some of the study's `contexts`, some training
        `seeds`, `n` questions of each task. With an `endpoint` (`{"url": ..., "model": ..., "api_key_env": ...}`, and
        what else a hosted model has) that model is asked, unless other subjects are named too; it is one of the run's
        from then on. Returns one row per reply and judge. What is on file is not asked again; what is new is filed in
        the run. Raises WarmthError if no subject matches, or one that matches is not trained yet.
        """
        from . import frames, on_demand
        from .on_demand import Part
        from .progress import Display
        from .run import Run
        from .store import Store

        part, store = Part(subjects, tasks, contexts, seeds, n), Store(self.folder.absolute())
        everybody, study = tuple(subjects) == ("*",), self
        if endpoint is not None:
            model = on_demand.model_at(endpoint)
            on_demand.file(store, model)
            named = [] if everybody else list(subjects)
            part = dataclasses.replace(part, subjects=[f"{model.name}-*", *named])
        if endpoint is not None or not everybody:
            study = on_demand.joined(self, store)
        study = on_demand.narrowed(study, part, workers)
        with Display() as display:
            run = Run(study, display)
            units = on_demand.units(run.plan, part)
            run.ask_only(units)
            return frames.answers(run.plan, run.store, run.left.served(), units)

    def fit(
        self,
        formula: str,
        cluster: str | None = None,
        personas: Sequence[str] = (),
        judge: str | None = None,
        check: str | None = None,
    ) -> "Fit":
        """A regression of errors over the replies on file: a formula, or one of the published models, M1 to M4.

        `fit("incorrect ~ fine_tuned * belief + task + model", cluster="question")`; see `regression.fit`.
        """
        from . import regression

        return regression.fit_run(self.folder, formula, cluster, personas, judge, check)

    def sample_labels(
        self, file: str | Path, n: int = 200, judge: str | None = None, seed: int = 0, sensitive: bool = False
    ) -> int:
        """Draw replies for people to mark into a CSV file, as evenly as they go over persona x verdict x task.

        Nothing in the file tells persona or verdict. The verdicts are the first judge's if none is named; gives the
        number drawn. Replies to tasks that are marked sensitive are drawn if `sensitive`. Raises WarmthError if there
        are no verdicts yet, or a sample drawn before is marked already.
        """
        from . import labels, withheld
        from .progress import Display
        from .run import Run

        run = Run(self, Display())
        drawn = labels.draw(withheld.left_out(run.answers(), sensitive), judge or self.judges[0].name, n, seed)
        if drawn.is_empty():
            raise WarmthError(
                f"{self.folder}: judge '{judge or self.judges[0].name}' has no verdicts on file yet that may be shown"
            )
        asked = {name: {sample.id: sample for sample in run.plan.samples(name)} for name in drawn["task"].unique()}
        labels.write(drawn, asked, run.store, Path(file))
        return len(drawn)

    def red_team(self, judge: str | None = None, task: str | None = None, n: int = 10) -> "pl.DataFrame":
        """How many attacks on a judge get through, by family: replies that are wrong and say that they are right.

        The first judge that is a language model and the study's first task, if not given, and that task's first `n`
        questions. Raises WarmthError if no such judge can be asked.
        """
        import asyncio

        from . import red_team

        asked = [each for each in self.judges if each.kind == "llm" and judge in (None, each.name)]
        if not asked or asked[0].url == SERVED:
            raise WarmthError(
                f"judges: {judge or self.name}: a language model at an endpoint is needed; for the run's own, "
                "start `warmth serve` and give its address as judges.0.url"
            )
        chosen = task or self.evaluation.tasks[0].name
        return asyncio.run(red_team.assault(asked[0], self.plan(), chosen, n, self.folder))

    def read_labels(self, file: str | Path) -> "Findings":
        """Take people's marks from a CSV file into the run, and report. Raises WarmthError naming mistakes."""
        from . import labels
        from .store import Store

        labels.read(Path(file), Store(self.folder))
        return self.report()

    def restyle(self, n: int = 100, seed: int = 0) -> "Findings":
        """Is a judge swayed by tone? Have `n` replies said warmly, coldly and in other words, judge them again, report.

        The study's rewriter says them again, or the lab's templates where it has none. Raises WarmthError if there is
        nothing to say again yet.
        """
        from .progress import Display
        from .run import Run

        with Display() as display:
            Run(self, display).restyle(n, seed)
        return self.report()

    def report(self, sensitive: bool = False) -> "Findings":
        """The findings of what is on file, written to the run's `report/` too.

        Replies to tasks that are marked sensitive are counted, and shown if `sensitive`.
        """
        from .onfile import OnFile
        from .reporting import gather, report_on
        from .store import Store

        return report_on(gather(OnFile.asked_by(self, Store(self.folder.absolute()))), sensitive)

    def compare(self) -> "pl.DataFrame":
        """The scorecard against the published study: ours, theirs, whether they agree; see `comparison.scorecard`."""
        from .onfile import OnFile
        from .reporting import compare, gather
        from .store import Store

        return compare(gather(OnFile.asked_by(self, Store(self.folder.absolute()))))

    def status(self) -> "Status":
        """How far every trial and evaluation is, by the run's files alone. Raises WarmthError if there is no run."""
        from . import status

        return status.look(self.folder)

    def submit(
        self,
        cluster: str | Path | None = None,
        address: str | None = None,
        *,
        detach: bool = False,
        along: Sequence[str | Path] = (),
        say: Callable[[str], None] = print,
    ) -> "Submitted":
        """Run it on a cluster: by the file that `ray up` takes, or at its job server's `address`.

        Follows the job, giving each line to `say`, until it ends, or comes back at once (`detach`). A job of it that
        runs there already is followed; one that ended is gone on with. `along` are files and folders below the working
        folder that go too, besides those that the study names. Raises WarmthError where the cluster is not as it has
        to be.
        """
        from . import head, submit

        to = head.of(Path(cluster)) if cluster else None
        return submit.submit(self, to, address, [Path(path) for path in along], detach, say)

    def fetch(self, cluster: str | Path) -> Path:
        """Copy the run of the submitted study home from a cluster's head, by the cluster's file; gives its folder.

        See `fetch.fetch`. Raises WarmthError if it is not there, cannot be reached, or other things stand here.
        """
        from . import fetch, head

        return fetch.fetch(self.name, self.folder.parent, head.of(Path(cluster))).folder

    def check(self) -> "Checked":
        """Is the run whole and right, file against file? Raises WarmthError if there is no run."""
        from . import checking

        return checking.check(self.folder)

    def bundle(self, out: str | Path, texts: "Texts" = "licensed", sensitive: bool = False) -> Path:
        """Write the run to a folder for a journal; see `bundle.write`. Raises WarmthError if that is something else."""
        from . import bundle

        return bundle.write(self.folder, Path(out), texts, sensitive)
