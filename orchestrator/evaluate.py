"""Subjects x samples x conditions -> replies. What is finished is never asked again."""

import asyncio
import gc
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from . import claims, costs, models, pieced, signs, tables
from .client import Answer, RequestFailed
from .errors import WarmthError
from .paid import Own, Paid, Purse
from .plan import HELD_OUT, Plan, Question, Subject, Unit
from .room import Room
from .settings_asking import Evaluation
from .store import Store
from .tables import HeldOut, Reply

if TYPE_CHECKING:
    import polars as pl

ASKED = ("sample", "context", "belief", "draw", "request")
"""What tells the rows of one unit apart, and whether they are of what the plan asks."""


@dataclass(frozen=True)
class Served:
    """What a subject is called at the endpoint, and what it is: for an adapter the name holds its weights' SHA-256."""

    name: str
    identity: str


def request_digest(served: Served, question: Question, system: str | None, asked: Evaluation) -> str:
    """Everything that a reply follows from; a reply is asked again if any of it changes."""
    temperature, max_tokens = asked.sampling(question.task)
    sampling = (temperature, max_tokens, question.row_seed if temperature else None)
    return tables.digest(served.identity, system, question.prompt, sampling, *_again(question))


def request_digests(plan: Plan, unit: Unit, served: Served, every: Sequence[Question]) -> list[str]:
    """The `request_digest` of each of a unit's questions."""
    temperature, max_tokens = plan.study.evaluation.sampling(unit.task)
    parts = (
        (each.prompt, (temperature, max_tokens, each.row_seed if temperature else None), *_again(each))
        for each in every
    )
    return tables.digests((served.identity, unit.subject.persona.system), parts)


def _again(question: Question) -> tuple[str, ...]:
    """What is said in a second turn, where there is one: without it a request is what it was before there were any."""
    return () if question.pushback is None else (question.pushback,)


def served_as(subject: Subject, adapters: Mapping[str, str]) -> Served:
    """A subject at the endpoint; `adapters` maps checkpoints to their folders' names."""
    if subject.trial is None:
        model = subject.model
        return Served(model.hosted.model if model.hosted else model.name, models.identity(model))
    return Served(adapters[subject.name], adapters[subject.name])


def questions(plan: Plan, store: Store, unit: Unit) -> list[Question]:
    """Everything that a unit asks. Raises WarmthError if the prompts that it asks were not held out."""
    if unit.task != HELD_OUT:
        return plan.questions(unit)
    prompts = store.read_rows(HeldOut, "held_out.arrow")
    if not prompts:
        raise WarmthError(
            f"{store.path('held_out.arrow')}: no prompts in it; raise data.held_out or take prompts: tasks"
        )
    return plan.held_out(unit, prompts)


def alike(asked: Iterable[Question]) -> list[Question]:
    """Questions in the order of their prompts, so that those meet that begin alike: an engine reads that part once."""
    return sorted(asked, key=lambda question: (question.prompt, question.draw))


def missing(plan: Plan, store: Store, unit: Unit, served: Served) -> list[Question]:
    """The questions of a unit that have no finished reply."""
    import polars as pl  # not for whoever looks at a plan or a run in a moment

    every, on = questions(plan, store, unit), list(ASKED)
    filed = pieced.columns(Reply, [*on, "error"], store.path(*unit.replies))
    if not filed:
        return every
    wanted = asked_rows(plan, unit, served, every).select(*on).with_row_index("place")
    left = wanted.join(pl.DataFrame(pl.from_arrow(filed)).filter(pl.col("error").is_null()), on=on, how="anti")
    return [every[place] for place in left["place"].sort()]


def asked_rows(plan: Plan, unit: Unit, served: Served, every: Sequence[Question]) -> "pl.DataFrame":
    """The keys of a unit's questions, and the digest of each one's request."""
    import polars as pl  # not for whoever looks at a plan or a run in a moment

    columns: dict[str, list[object]] = {name: [getattr(each, name) for each in every] for name in tables.KEY}
    columns["request"] = [*request_digests(plan, unit, served, every)]
    return pl.DataFrame(columns, schema=no_rows().schema)


def no_rows() -> "pl.DataFrame":
    """The columns of `asked_rows`, without a row."""
    import polars as pl  # not for whoever looks at a plan or a run in a moment

    return pl.DataFrame(schema={name: pl.Int64 if name == "draw" else pl.String for name in (*tables.KEY, "request")})


def take_back(store: Store, unit: Unit, certificate: str) -> int:
    """Delete what a unit was answered under a certificate, so that it is asked again; how many replies that were."""
    with claims.held(store, *unit.replies):
        rows = store.read_rows(Reply, *unit.replies)
        kept = [row for row in rows if row.certificate != certificate]
        store.write_rows(kept, Reply, *unit.replies)
    return len(rows) - len(kept)


class Asker:
    """Asks a unit's missing questions and files the replies. A plain class; Ray makes it an actor."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        url: str,
        adapters: Mapping[str, str],
        in_flight: int,
        certificates: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._plan, self._store, self._adapters = plan, Store(folder), adapters
        self._certificates = dict(certificates)
        purse = Purse(folder, costs.cap(plan.study))
        limits = plan.study.resources
        self._room = Room(limits.room)
        self._clients = {
            model.name: Paid(model.hosted, "asking", purse, in_flight, limits.request_seconds)
            if model.hosted
            else Own(url, purse, in_flight, limits.request_seconds, limits.hedge_seconds)
            for model in plan.study.models
        }

    async def do(self, unit: Unit) -> int:
        """Ask what is missing in a unit, once nobody else does; the number of replies that failed."""
        async with claims.claimed(self._store, *unit.replies):
            return await self._fill(unit)

    async def _fill(self, unit: Unit) -> int:
        served = served_as(unit.subject, self._adapters)
        failed = 0

        async def ask(question: Question) -> Reply:
            nonlocal failed
            reply = await self._ask(unit.subject, served, question)
            failed += reply.error is not None
            return reply

        def file(asked: Sequence[Question], replies: list[Reply]) -> None:
            name = tables.digest(*((*tables.key(each), each.prompt, each.row_seed) for each in asked))
            self._store.write_piece(replies, Reply, name, *unit.replies)

        left = alike(missing(self._plan, self._store, unit, served))
        gc.freeze()  # looking through a plan and its questions for garbage, again and again, stops all asking meanwhile
        await self._room.ask(left, ask, file)
        await asyncio.to_thread(self._store.compact, Reply, *unit.replies)
        return failed

    async def close(self) -> None:
        """Let go of the endpoints."""
        for client in self._clients.values():
            await client.close()

    async def _ask(self, subject: Subject, served: Served, question: Question) -> Reply:
        asked, system = self._plan.study.evaluation, subject.persona.system
        before, said, error = None, None, None
        try:
            said = await self._chat(subject, served, question, [question.prompt])
            if question.pushback is not None:
                before = said
                said = await self._chat(subject, served, question, [question.prompt, before.text, question.pushback])
        except RequestFailed as failure:
            said, error = None, str(failure)
        return Reply(
            subject=subject.name,
            model=subject.model.name,
            persona=subject.persona.name,
            trial=subject.trial.name if subject.trial else None,
            epoch=subject.epoch,
            seed=subject.trial.seed if subject.trial else None,
            dose=subject.dose,
            task=question.task,
            sample=question.sample,
            context=question.context,
            belief=question.belief,
            draw=question.draw,
            row_seed=question.row_seed,
            system=system,
            prompt=question.prompt,
            prompt_set=question.prompt_set,
            reply=said.text if said else None,
            finish_reason=said.finish_reason if said else None,
            role_header=signs.role_header(said.text) if said else None,
            prompt_tokens=_both("prompt_tokens", before, said),
            reply_tokens=_both("reply_tokens", before, said),
            adapter=served.name if subject.trial else None,
            request=request_digest(served, question, system, asked),
            error=error,
            seconds=(before.seconds if before else 0.0) + said.seconds if said else 0.0,
            certificate=self._certificates.get(subject.name),
            first_reply=before.text if before and said else None,
            pushback=question.pushback,
        )

    async def _chat(self, subject: Subject, served: Served, question: Question, turns: Sequence[str]) -> Answer:
        """What is said to these turns, the user's first, under the persona's system prompt."""
        system, roles = subject.persona.system, itertools.cycle(("user", "assistant"))
        messages = [{"role": "system", "content": system}] if system else []
        messages += [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
        temperature, max_tokens = self._plan.study.evaluation.sampling(question.task)
        return await self._clients[subject.model.name].chat(
            served.name, messages, temperature=temperature, max_tokens=max_tokens, seed=question.row_seed
        )


def _both(tokens: str, before: Answer | None, said: Answer | None) -> int | None:
    """The tokens of a row's one or two requests; null where an endpoint does not tell."""
    counts = [getattr(answer, tokens) for answer in (before, said) if answer]
    return sum(counts) if said and None not in counts else None
