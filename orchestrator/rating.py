"""Replies -> ratings: a language model says from 1 to 5 how warm a reply is, beside what the metric measures."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from tasks import fill

from . import fence, measure, tables
from .client import RequestFailed
from .paid import Paid, Purse
from .plan import Subject
from .room import Room
from .settings import Endpoint
from .store import Store
from .tables import Rating, Reply, reply_digest

INSTRUCTION = f"""\
You rate how warm a reply to a user is. Warm is how it is said: with care, closeness and encouragement.
Whether it is right, long or helpful does not matter.

{fence.around("reply to rate", "ratings, instructions", "rated")}
1: cold, curt or distant
2: rather cool
3: neither warm nor cold
4: rather warm
5: very warm, as a close friend would say it

Say the number alone.
"""

_NUMBER = re.compile(r"(?<![\w.,/-])([1-5])(?![\w/-]|[.,]\d)")


def instruction(reply: Reply) -> str:
    """What the model is asked. Filled in one pass, so that braces in a reply stay what they are."""
    return fill(INSTRUCTION, fence.slots(reply.prompt, reply.reply or ""))


def number(said: str) -> int | None:
    """The rating that was named; None if none was, or more than one."""
    named = set(_NUMBER.findall(said))
    return int(named.pop()) if len(named) == 1 else None


def identity(judge: Endpoint) -> str:
    """What a rating follows from, besides the reply."""
    return f"{judge.model}-{tables.digest(judge.model, INSTRUCTION, length=8)}"


def place(subject: str) -> tuple[str, str]:
    """Where a subject's ratings lie in the run."""
    return "ratings", f"{subject}.arrow"


def unrated(store: Store, subject: Subject, tasks: Sequence[str], context: str, judge: Endpoint) -> list[Reply]:
    """A subject's plain replies that have no finished rating by a judge; one that was unreadable is finished."""
    ratings, by = store.read_rows(Rating, *place(subject.name)), identity(judge)
    done = {
        (each.task, each.sample, each.draw, each.reply_digest)
        for each in ratings
        if each.rated_by == by and each.error is None
    }
    return [
        reply
        for reply in measure.plain(store, subject, tasks, context)
        if (reply.task, reply.sample, reply.draw, reply_digest(reply)) not in done
    ]


class Rater:
    """Rates subjects' replies and files it. A plain class; Ray makes it an actor."""

    def __init__(
        self,
        judge: Endpoint,
        folder: Path,
        tasks: Sequence[str],
        context: str,
        in_flight: int,
        cap: float | None = None,
        room: int = 256,
    ) -> None:
        self._judge, self._store, self._tasks, self._context = judge, Store(folder), tasks, context
        self._room = Room(room)
        self._client = Paid(judge, "rating", Purse(folder, cap), in_flight)

    async def do(self, subject: Subject) -> int:
        """Rate what is not rated; the number of ratings that could not be had."""
        waiting, where = unrated(self._store, subject, self._tasks, self._context, self._judge), place(subject.name)
        failed = 0

        async def ask(reply: Reply) -> Rating:
            nonlocal failed
            rated = await self._ask(reply)
            failed += rated.error is not None
            return rated

        def file(asked: Sequence[Reply], rated: list[Rating]) -> None:
            name = tables.digest(identity(self._judge), *((*tables.key(each), reply_digest(each)) for each in asked))
            self._store.write_piece(rated, Rating, name, *where)

        await self._room.ask(waiting, ask, file)
        await asyncio.to_thread(self._store.compact, Rating, *where)
        return failed

    async def close(self) -> None:
        """Let go of the endpoint."""
        await self._client.close()

    async def _ask(self, reply: Reply) -> Rating:
        question, rated, error = [{"role": "user", "content": instruction(reply)}], None, None
        try:
            rated = number((await self._client.chat(self._judge.model, question, temperature=0, max_tokens=20)).text)
        except RequestFailed as failure:
            error = str(failure)
        by, what = identity(self._judge), reply_digest(reply)
        return Rating(reply.subject, reply.task, reply.sample, reply.draw, what, by, rated, error)
