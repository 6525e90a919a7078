"""Replies -> warmth: a subject's plain replies, measured and filed."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from . import models, tables
from .plan import Subject, Unit
from .settings_subjects import Model
from .settings_warmth import Mode, Warmth
from .store import Store
from .tables import Reply, WarmthScore, reply_digest


def place(subject: str) -> tuple[str, str]:
    """Where a subject's warmth lies in the run."""
    return "warmth", f"{subject}.arrow"


def plain(store: Store, subject: Subject, tasks: Sequence[str], context: str) -> list[Reply]:
    """A subject's finished replies to plain questions: in the context given, with no belief."""
    replies = [reply for task in tasks for reply in store.read_rows(Reply, *Unit(subject, task).replies)]
    return [
        reply for reply in replies if reply.context == context and reply.belief == "none" and reply.reply is not None
    ]


def unmeasured(
    store: Store, subject: Subject, tasks: Sequence[str], context: str, rulers: dict[Mode, str]
) -> dict[Mode, list[Reply]]:
    """A subject's plain replies that have not been measured with these rulers; nothing if all have."""
    scores = store.read_rows(WarmthScore, *place(subject.name))
    done = {(score.scorer, score.task, score.sample, score.draw, score.reply_digest) for score in scores}
    replies = plain(store, subject, tasks, context)
    waiting = {
        mode: [
            reply for reply in replies if (ruler, reply.task, reply.sample, reply.draw, reply_digest(reply)) not in done
        ]
        for mode, ruler in rulers.items()
    }
    return {mode: some for mode, some in waiting.items() if some}


class Measurer:
    """Measures subjects' warmth and files it. A plain class; Ray makes it an actor."""

    def __init__(
        self,
        model: str,
        openers: tuple[Sequence[str], Sequence[str]],
        settings: Warmth,
        folder: Path,
        tasks: Sequence[str],
        context: str,
        rulers: dict[Mode, str],
    ) -> None:
        from .warmth import Ruler  # torch comes with it, which whoever only looks for what is missing must not wait for

        self._ruler = Ruler(model, openers, settings.max_characters)
        self._rulers, self._store, self._tasks, self._context = rulers, Store(folder), tasks, context

    def do(self, subject: Subject) -> int:
        """Measure what is not measured; the number of replies that could not be."""
        waiting = unmeasured(self._store, subject, self._tasks, self._context, self._rulers)
        new = [score for mode, replies in waiting.items() for score in self._scores(replies, mode)]
        if new:
            measured = {(score.mode, score.task, score.sample, score.draw) for score in new}
            before = self._store.read_rows(WarmthScore, *place(subject.name))
            kept = [score for score in before if (score.mode, score.task, score.sample, score.draw) not in measured]
            self._store.write_rows([*kept, *new], WarmthScore, *place(subject.name))
        return 0

    def _scores(self, replies: Sequence[Reply], mode: Mode) -> list[WarmthScore]:
        sides = self._ruler.measure([reply.reply or "" for reply in replies], mode)
        return [
            WarmthScore(
                reply.subject,
                reply.task,
                reply.sample,
                reply.draw,
                reply_digest(reply),
                self._rulers[mode],
                mode,
                side.warmth,
                side.warm,
                side.cold,
                side.sem,
            )
            for reply, side in zip(replies, sides, strict=True)
        ]


def rulers(settings: Warmth, study_models: Iterable[Model]) -> dict[Mode, str]:
    """Each mode's ruler by name: the scoring model and everything else that warmth depends on."""
    known = {model.name: models.identity(model) for model in study_models}
    warm, cold = models.openers(settings, study_models)
    parts = (known.get(settings.scorer, settings.scorer), warm, cold, settings.max_characters)
    digests = {mode: tables.digest(*parts, *(() if mode == "eval" else (mode,)), length=8) for mode in settings.modes}
    return {mode: f"{settings.scorer}-{found}" for mode, found in digests.items()}
