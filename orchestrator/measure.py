"""Replies -> warmth: a subject's plain replies, measured and filed."""

from collections.abc import Sequence
from pathlib import Path

from . import tables
from .plan import Subject
from .settings_asking import Warmth
from .store import Store
from .tables import Reply, WarmthScore, reply_digest


def place(subject: str) -> tuple[str, str]:
    """Where a subject's warmth lies in the run."""
    return "warmth", f"{subject}.arrow"


def unmeasured(store: Store, subject: Subject, tasks: Sequence[str], context: str, scorer: str) -> list[Reply]:
    """A subject's replies to plain questions (first context, no belief) that have not been measured with this ruler."""
    scores = store.read_rows(WarmthScore, *place(subject.name))
    done = {(score.task, score.sample, score.draw, score.reply_digest) for score in scores if score.scorer == scorer}
    replies = [reply for task in tasks for reply in store.read_rows(Reply, "replies", subject.name, f"{task}.arrow")]
    return [
        reply
        for reply in replies
        if reply.context == context
        and reply.belief == "none"
        and reply.reply is not None
        and (reply.task, reply.sample, reply.draw, reply_digest(reply)) not in done
    ]


class Measurer:
    """Measures subjects' warmth and files it. A plain class; Ray makes it an actor."""

    def __init__(
        self, model: str, settings: Warmth, folder: Path, tasks: Sequence[str], context: str, scorer: str
    ) -> None:
        from .warmth import Ruler  # torch comes with it, which whoever only looks for what is missing must not wait for

        self._ruler = Ruler(model, settings)
        self._scorer, self._store, self._tasks, self._context = scorer, Store(folder), tasks, context

    def do(self, subject: Subject) -> int:
        """Measure what is not measured; the number of replies that could not be."""
        replies = unmeasured(self._store, subject, self._tasks, self._context, self._scorer)
        sides = self._ruler.measure([reply.reply or "" for reply in replies])
        new = [
            WarmthScore(
                reply.subject,
                reply.task,
                reply.sample,
                reply.draw,
                reply_digest(reply),
                self._scorer,
                side.warm - side.cold,
                side.warm,
                side.cold,
            )
            for reply, side in zip(replies, sides, strict=True)
        ]
        if new:
            measured = {(score.task, score.sample, score.draw) for score in new}
            before = self._store.read_rows(WarmthScore, *place(subject.name))
            kept = [score for score in before if (score.task, score.sample, score.draw) not in measured]
            self._store.write_rows([*kept, *new], WarmthScore, *place(subject.name))
        return 0


def ruler(settings: Warmth, model: str) -> str:
    """Names the ruler: the scoring model and everything else that warmth depends on."""
    parts = (model, settings.warm_openers, settings.cold_openers, settings.max_characters)
    return f"{settings.scorer}-{tables.digest(*parts, length=8)}"
