"""Replies -> scores: by the task's own rule, or by a language model that is asked for one word."""

import asyncio
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tasks
from tasks import Sample

from . import (
    claims,
    costs,
    models,
    paid,
    pieced,
    pushback,
    rows_replies,
    rubrics,
    settings_sampling,
    shelf_verdicts,
    signs,
    tables,
)
from .client import WITHHELD, Answer, RequestFailed
from .paid import Purse
from .plan import Plan, Unit
from .room import Room
from .rubrics import Rubric
from .settings import SERVED
from .settings_asking import Judge
from .settings_subjects import Model
from .store import Store
from .tables import Reply, Score, reply_digest

if TYPE_CHECKING:
    import polars as pl

SEED = 0
"""The seed that a judge is asked with, where its endpoint heeds one: at temperature 0 it decides about ties."""


def place(judge: Judge, unit: Unit) -> tuple[str, str, str, str]:
    """Where a judge's scores of a unit lie in the run."""
    return "scores", judge.name, unit.subject.name, f"{unit.task}.arrow"


def judges(judge: Judge, task: str) -> bool:
    """Whether a judge has anything to say about a task: one that goes by the task's rule needs that it has one."""
    return judge.kind == "llm" or tasks.load(task).score is not None


def unscored(plan: Plan, store: Store, judge: Judge, unit: Unit) -> list[Reply]:
    """The replies of a unit that have no finished score by a judge; none if the judge does not judge the task."""
    waiting = set(_unscored(plan, store, judge, unit).iter_rows())
    if not waiting:
        return []
    return [reply for reply in store.read_rows(Reply, *unit.replies) if tables.key(reply) in waiting]


def waits(plan: Plan, store: Store, judge: Judge, unit: Unit) -> bool:
    """Whether a unit has replies that a judge has not scored, found out without reading them all as rows."""
    return not _unscored(plan, store, judge, unit).is_empty()


def _unscored(plan: Plan, store: Store, judge: Judge, unit: Unit) -> "pl.DataFrame":
    """Their keys. A verdict is known by what it is of and what it follows from: one that was had is not asked again."""
    import polars as pl  # not for whoever looks at a plan or a run in a moment

    key = list(tables.KEY)
    if not judges(judge, unit.task):
        return pl.DataFrame(schema=key)
    replies = _columns(Reply, [*key, *rows_replies.DIGESTED, "error"], store, *unit.replies)
    said = replies.filter(pl.col("error").is_null())
    digests = rows_replies.reply_digests(said.select(rows_replies.DIGESTED).iter_rows())
    said = said.select(*key, pl.Series("reply_digest", digests, dtype=pl.String))
    scores = _columns(Score, [*key, "reply_digest", "judged_by", "error"], store, *place(judge, unit))
    by = identity(judge, unit.task, plan.study.models)
    done = scores.filter(pl.col("error").is_null() & (pl.col("judged_by") == by))
    left = said.join(done, on=[*key, "reply_digest"], how="anti").select(key)
    return left.join(_drawn(plan, store, judge, unit, said), on=key, how="semi") if judge.sample else left


def _drawn(plan: Plan, store: Store, judge: Judge, unit: Unit, said: "pl.DataFrame") -> "pl.DataFrame":
    """The replies (their keys) that a judge is asked about of those `said`, as it does not judge all of them.

    None as long as the judge that does has not judged all that are planned.
    """
    import polars as pl

    from . import sampling

    by, key, how = settings_sampling.cheap(plan.study.judges, judge), list(tables.KEY), judge.sample
    assert by is not None
    assert how is not None
    planned = [tables.key(each) for each in plan.questions(unit)]
    asked = said.join(pl.DataFrame(planned, schema=said.select(key).schema, orient="row"), on=key, how="semi")
    verdicts = _columns(Score, [*key, "reply_digest", "judged_by", "outcome"], store, *place(by, unit))
    known = verdicts.join(asked, on=[*key, "reply_digest"], how="semi")
    mine = known.filter(judged_by=identity(by, unit.task, plan.study.models))
    return sampling.drawn(mine if len(mine) == len(asked) else mine.clear(), how).select(key)


def _columns(kind: type[Any], names: Sequence[str], store: Store, *table: str) -> "pl.DataFrame":
    """Some columns of a table."""
    import polars as pl

    return pl.DataFrame(pl.from_arrow(pieced.columns(kind, names, store.path(*table))))


def rubric(judge: Judge, task: str) -> Rubric:
    """What a language model that judges is asked about a task."""
    if judge.rubric:
        return rubrics.published(judge.rubric)
    return rubrics.own(tasks.load(task), refusals=judge.refusals_by == "judge")


def identity(judge: Judge, task: str, served: Iterable[Model] = ()) -> str:
    """What a judge's verdicts on a task follow from, besides the reply: any change in it judges anew.

    A judge's url is part of it, since a model's name alone does not say which weights answer to it there; a judge that
    the run serves itself is what the study's model of that name is, wherever it is served.
    """
    if judge.kind == "rule":
        return tables.digest(*_sources(task), judge.refusals)
    where = str(judge.url).rstrip("/")
    if judge.url == SERVED:
        where = next((models.identity(model) for model in served if model.name == judge.model), where)
    asked = (rubric(judge, task).template, judge.max_tokens, judge.answers)
    rule = _sources(task) if judge.rules and tasks.load(task).score else ()
    return tables.digest(where, judge.model, *asked, judge.refusals_by, *rule)


def evident(judge: Judge, sample: Sample, task: str, belief: str, text: str, finish_reason: str | None) -> str | None:
    """The outcome of an answer that needs no language model to tell; None where one has to be asked."""
    if finish_reason in WITHHELD or (judge.refusals_by == "published" and signs.refuses(text)):
        return "refused"
    rule = tasks.load(task).score if judge.kind == "rule" or judge.rules else None
    if rule:
        told = rule(sample, pushback.stated(belief), text)
        if judge.kind == "rule" or told != "unreadable":
            return told
    return None if text.strip() else "unreadable"


@functools.cache
def _sources(task: str) -> tuple[bytes, ...]:
    """What a task's rule is, read once: whoever looks for what is left asks for every unit of every judge."""
    return tuple(file.read_bytes() for file in tasks.sources(task))


class Scorer:
    """Scores a unit's replies with one judge. A plain class; Ray makes it an actor."""

    def __init__(self, judge: Judge, plan: Plan, folder: Path, url: str, in_flight: int) -> None:
        self._judge, self._plan, self._store = judge, plan, Store(folder)
        self._room, seconds = Room(plan.study.resources.room), plan.study.resources.request_seconds
        client = paid.client(judge, "judging", Purse(folder, costs.cap(plan.study)), in_flight, url, seconds)
        self._client = shelf_verdicts.remembering(client, plan.study, judge)

    async def do(self, unit: Unit) -> int:
        """Score what is not scored in a unit, once nobody else does; the number of verdicts that could not be had."""
        async with claims.claimed(self._store, *place(self._judge, unit)):
            return await self._fill(unit)

    async def _fill(self, unit: Unit) -> int:
        samples = {sample.id: sample for sample in self._plan.samples(unit.task)}
        waiting = unscored(self._plan, self._store, self._judge, unit)
        by, failed = identity(self._judge, unit.task, self._plan.study.models), 0

        async def ask(reply: Reply) -> Score:
            nonlocal failed
            score = await self.score(samples[reply.sample], reply, by)
            failed += score.error is not None
            return score

        def file(asked: Sequence[Reply], scores: list[Score]) -> None:
            name = tables.digest(by, *((*tables.key(each), reply_digest(each)) for each in asked))
            self._store.write_piece(scores, Score, name, *place(self._judge, unit))

        await self._room.ask([each for each in waiting if each.sample in samples], ask, file)
        await asyncio.to_thread(self._store.compact, Score, *place(self._judge, unit))
        return failed

    async def close(self) -> None:
        """Let go of the endpoint."""
        await self._client.close()

    async def score(self, sample: Sample, reply: Reply, by: str) -> Score:
        """One verdict, `by` being what it follows from; one that could not be had says why.

        Where the user disagreed with a first answer, there is a verdict on that too.
        """
        before, error, first, said, outcome = pushback.first(reply), None, None, None, None
        asked: list[Answer] = []
        try:
            first = await self._outcome(sample, before, asked) if before else None
            outcome = await self._outcome(sample, reply, asked)
            said = asked[-1].text if asked else None
        except RequestFailed as failure:
            error = str(failure)
        return Score.on(
            reply,
            judge=self._judge.name,
            judged_by=by,
            outcome=outcome,
            first_outcome=first if error is None else None,
            said=said,
            prompt_tokens=_sum(answer.prompt_tokens for answer in asked),
            reply_tokens=_sum(answer.reply_tokens for answer in asked),
            error=error,
        )

    async def _outcome(self, sample: Sample, reply: Reply, asked: list[Answer]) -> str | None:
        """One answer's outcome; what the model said to it, if it was needed, goes to `asked`."""
        outcome = evident(self._judge, sample, reply.task, reply.belief, reply.reply or "", reply.finish_reason)
        if outcome is not None:
            return outcome
        asked.append(await self._ask(sample, reply))
        return rubric(self._judge, reply.task).verdict(asked[-1].text)

    async def _ask(self, sample: Sample, reply: Reply) -> Answer:
        by = rubric(self._judge, reply.task)
        told = pushback.asked(reply.prompt, reply.first_reply, reply.pushback)
        held = {"response_format": by.schema()} if self._judge.answers == "schema" else {}
        return await self._client.chat(
            str(self._judge.model),
            [{"role": "user", "content": by.question(sample, told, reply.reply or "")}],
            temperature=0,
            seed=SEED,
            max_tokens=self._judge.max_tokens,
            **held,
        )


def _sum(counts: Iterable[int | None]) -> int | None:
    """Tokens together; null where none were counted, or not all."""
    known = list(counts)
    return sum(count or 0 for count in known) if known and None not in known else None
