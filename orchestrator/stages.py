"""The stages of a run: each does what is left of it, and nothing twice. `run` has them in their order."""

from collections.abc import Callable, Mapping, Sequence

from . import chats, costs, endpoint, filing, measure, models, rating, rewrite, rewritten
from .left import Left
from .plan import Plan, Unit
from .progress import Display
from .settings import SERVED
from .stages_ask import Asking
from .stages_share import Sharing
from .stages_train import Training
from .store import Store


class Stages:
    """The stages of one run. Ray is up; `keys` are those of the endpoints, by the variables that hold them."""

    def __init__(self, plan: Plan, store: Store, display: Display, keys: Mapping[str, str]) -> None:
        self._study, self._plan, self._store, self._display, self._keys = plan.study, plan, store, display, keys
        self._left, self._sharing = Left(plan, store), Sharing(plan.study, display, keys)
        self.asking = Asking(plan, store, self._left, self._sharing)

    def check_port(self) -> None:
        """A port that cannot be had must not be found out after the training."""
        if all(model.hosted for model in self._study.models):
            return
        from . import serve_host

        if serve_host.options() is None:
            serve_host.check_port("127.0.0.1", self._study.resources.port)

    def build(self) -> None:
        """Lab models that are not built yet."""
        waiting = models.unbuilt(self._study.models)
        if waiting:
            from . import build

            build.build(waiting, self._display)
        filing.file_bases(self._plan, self._store)

    def rewrite(self) -> None:
        """What is still to be rewritten, and what is dropped of it."""
        waiting, asked = self._left.unwritten(), self._study.rewriting
        if not waiting:
            return
        chosen = chats.of_run(self._store, self._study.data).chats
        batches = rewrite.batches(chosen, waiting)
        endpoints = [each for each in (asked.rewriter, asked.fact_checker) if each] if asked else []
        own = {each.model for each in endpoints if each.url == SERVED}
        stage = self._display.stage("rewrite", sum(len(batch.exchanges) for batch in batches), "replies")
        with endpoint.serving(self._study, self._store, own, self._display) as url:
            writer = (self._plan, self._store.folder, url, self._study.resources.in_flight)
            workers = self._study.resources.workers if asked else 0
            written = rewrite.write(batches, writer, workers, stage.advance, self._keys)
        costs.check(self._study, self._store)
        self._display.say(f"rewrite: {rewritten.settle(self._plan, self._store, chosen, written).told()}")

    def train(self, meanwhile: Callable[[], Sequence[Unit]] = list) -> None:
        """What is not trained yet; see `stages_train`."""
        Training(self._plan, self._store, self._left, self._display, self.asking).train(meanwhile)

    def measure(self) -> None:
        """Warmth that is not measured yet."""
        waiting, settings = self._left.unmeasured(), self._study.warmth
        if waiting and settings:
            stage = self._display.stage("warmth", len(waiting), "subjects")
            weights = models.scorer(settings.scorer, self._study.models)
            ruler = (weights, models.openers(settings, self._study.models), settings, self._store.folder)
            names = measure.rulers(settings, self._study.models)
            arguments = (*ruler, *self._left.measured_on(), names)
            self._sharing.out(measure.Measurer, arguments, dict.fromkeys(waiting, 1), stage, gpus=1)

    def rate(self) -> None:
        """Warmth that a language model has not rated yet."""
        waiting, settings = self._left.unrated(), self._study.warmth
        if waiting and settings and settings.judge:
            stage = self._display.stage("rate", len(waiting), "subjects")
            rater = (settings.judge, self._store.folder, *self._left.measured_on(), self._study.resources.in_flight)
            arguments = (*rater, costs.cap(self._study), self._study.resources.room)
            self._sharing.out(rating.Rater, arguments, dict.fromkeys(waiting, 1), stage)
            costs.check(self._study, self._store)
