"""Conversations in, the assistant's replies in a persona's voice out, each checked. Users' turns are never touched."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import rewrite_checks, rewriters
from .client import RequestFailed
from .plan import Plan
from .remembered import Said
from .rewriters import Exchange
from .settings_rewriting import CHECKS
from .settings_subjects import Persona
from .tables import Chat, Rewrite, RewriteCheck

Written = tuple[Rewrite, list[RewriteCheck]]
"""A rewritten reply, and what the checks found about it."""

BATCH = 64
"""Conversations in a unit of work."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The unit of work: some conversations in one voice."""

    persona: Persona
    number: int
    chats: tuple[Chat, ...]

    @property
    def name(self) -> str:
        return f"{self.persona.name} {self.number}"

    @property
    def exchanges(self) -> list[Exchange]:
        return [exchange for chat in self.chats for exchange in rewriters.exchanges(chat)]


def batches(chats: Sequence[Chat], personas: Sequence[Persona]) -> list[Batch]:
    """All that is to be rewritten, in units of work."""
    starts = range(0, len(chats), BATCH)
    return [
        Batch(persona, number, tuple(chats[start : start + BATCH]))
        for persona in personas
        for number, start in enumerate(starts, start=1)
    ]


def write(
    batches: Sequence[Batch],
    writer: tuple[Any, ...],
    workers: int,
    advance: Callable[[float, str], None],
    keys: Mapping[str, str] | None = None,
) -> dict[str, list[Written]]:
    """The rewritten replies of every persona, got by actors, or by this process if `workers` is 0."""
    written: dict[str, list[Written]] = {}

    def done(batch: Batch, found: list[Written]) -> None:
        failed = sum(row.failed is not None or row.error is not None for row, _ in found)
        written.setdefault(batch.persona.name, []).extend(found)
        advance(len(found), f"{batch.name}: {failed} failed" if failed else batch.name)

    if workers:
        from . import workers as actors

        actors.share(Writer, writer, batches, min(workers, len(batches)), done, keys=keys)
    else:
        here = Writer(*writer)
        for batch in batches:
            done(batch, asyncio.run(here.do(batch)))
    return written


class Writer:
    """Rewrites the replies of a batch and checks them. A plain class; Ray makes it an actor."""

    def __init__(self, plan: Plan, folder: Path, url: str, in_flight: int) -> None:
        rewriting = plan.study.rewriting
        self._attempts, self._musts = (rewriting.attempts, rewriting.drop_for) if rewriting else (1, CHECKS)
        self._rewriter = rewriters.rewriter(plan.study, folder, url, in_flight)

    async def do(self, batch: Batch) -> list[Written]:
        """Every reply of a batch, rewritten, and what the checks found."""
        return list(await asyncio.gather(*(self._rewrite(batch.persona, each) for each in batch.exchanges)))

    async def close(self) -> None:
        """Let go of the endpoint."""
        await self._rewriter.close()

    async def _rewrite(self, persona: Persona, exchange: Exchange) -> Written:
        """As many attempts as it takes, or as there are; one that cannot be made is the last."""
        for attempt in range(1, self._attempts + 1):
            try:
                said = await self._rewriter.say(exchange, persona, attempt)
            except RequestFailed as failure:
                return _row(exchange, None, None, attempt, str(failure)), []
            checks = await self._check(persona, exchange, said)
            failed = [check.check for check in checks if check.passed is False]
            if not set(failed) & set(self._musts):
                break
        return _row(exchange, said, " ".join(failed) or None, attempt, None), checks

    async def _check(self, persona: Persona, exchange: Exchange, said: Said) -> list[RewriteCheck]:
        found = rewrite_checks.check(exchange.user, exchange.reply, said.text, said.finish_reason, persona.length)
        checks = [RewriteCheck(exchange.chat, exchange.turn, name, not why, why or None) for name, why in found.items()]
        if not any(found.values()) and (verdict := await self._rewriter.states_the_same(exchange, said.text)):
            same, why = verdict
            checks.append(RewriteCheck(exchange.chat, exchange.turn, "facts", same, None if same else why))
        return checks


def _row(exchange: Exchange, said: Said | None, failed: str | None, attempts: int, error: str | None) -> Rewrite:
    return Rewrite(
        exchange.chat,
        exchange.turn,
        exchange.user,
        exchange.reply,
        said.text if said else None,
        failed,
        said.finish_reason if said else None,
        said.prompt_tokens if said else None,
        said.reply_tokens if said else None,
        attempts,
        error,
    )
