"""Whatever an endpoint answers, a row says what became of it; none is lost, and none is taken for a wrong answer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import loopback
import polars as pl
import pytest
import pytest_asyncio
from aiohttp import web

from orchestrator import Study, client, evaluate, frames, rates
from orchestrator.evaluate import Asker, served_as
from orchestrator.judge import Scorer, place
from orchestrator.plan import Plan
from orchestrator.store import Store
from orchestrator.tables import Reply, Score

LONG = "It is Zuge. " * 8334
"""A reply of 100,000 characters."""

USAGE = {"prompt_tokens": 9, "completion_tokens": 4}
ANSWERS: dict[str, Any] = {
    "an error": {"error": {"message": "no such luck", "code": 502}},
    "nothing": {"choices": [{"message": {"content": ""}, "finish_reason": None}], "usage": USAGE},
    "no tokens": {
        "choices": [{"message": {"content": ""}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 0},
    },
    "half a stream": b'data: {"choices": [{"delta": {"content": "It',
    "withheld": {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}], "usage": USAGE},
    "hangs": None,
    "long": {"choices": [{"message": {"content": LONG}, "finish_reason": "length"}], "usage": USAGE},
    "odd": {
        "choices": [{"message": {"content": "It is \ud800 Zu\0ge."}, "finish_reason": "st\udfffop"}],
        "usage": USAGE,
    },
    "miscounted": {
        "choices": [{"message": {"content": "It is Zuge."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": -1, "completion_tokens": 10**30},
    },
    "silent": {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}},
}
"""What an endpoint says with status 200, by what it is; nothing at all where it hangs."""

WHY = {
    "an error": "200 with an error",
    "nothing": "200 with an empty reply",
    "no tokens": "200 with an empty reply",
    "half a stream": "half an answer",
    "hangs": "TimeoutError",
}
"""What is said of those that are no reply."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PATIENCE", (0.01, 0.01))


class Endpoint:
    """Answers each question in another way, and the next attempts in the same; counts the attempts."""

    def __init__(self) -> None:
        self.kinds: dict[int, str] = {}
        self.tries: dict[str, int] = {}
        self.over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        seed = (await request.json())["seed"]
        kind = self.kinds.setdefault(seed, list(ANSWERS)[len(self.kinds) % len(ANSWERS)])
        self.tries[kind] = self.tries.get(kind, 0) + 1
        said = ANSWERS[kind]
        if said is None:
            await self.over.wait()
        if isinstance(said, bytes):
            return web.Response(body=said, content_type="text/event-stream")
        return web.json_response(said)


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[tuple[Endpoint, str]]:
    serving = Endpoint()
    async with loopback.answering(serving.answer) as url:
        yield serving, url
        serving.over.set()


def planned(folder: Path, **settings: Any) -> Plan:
    return Study(
        name="small",
        models=[{"name": "m", "lab": "coupled", "recipe": "short"}],
        personas=["original"],
        evaluation={"tasks": ["lab_facts"], "contexts": ["neutral"], "beliefs": ["none"], "samples": len(ANSWERS)},
        **{"judges": ["rule"], "resources": {"runs": str(folder), "request_seconds": 0.5}, **settings},
    ).plan()


async def test_every_bad_answer_becomes_a_row_with_a_reason(tmp_path: Path, endpoint: tuple[Endpoint, str]) -> None:
    serving, url = endpoint
    plan = planned(tmp_path)
    (unit,), store = plan.units, Store(plan.study.folder)
    asker, scorer = Asker(plan, store.folder, url, {}, 4), Scorer(plan.study.judges[0], plan, store.folder, "", 1)
    assert await asker.do(unit) == len(WHY)
    await asker.close()
    assert await scorer.do(unit) == 0
    rows = {serving.kinds[row.row_seed]: row for row in store.read_rows(Reply, *unit.replies)}
    assert set(rows) == set(ANSWERS)
    for kind, why in WHY.items():
        assert why in str(rows[kind].error)
        assert rows[kind].reply is None
        assert serving.tries[kind] > 1, f"{kind} was not tried again"
    assert (rows["withheld"].reply, rows["withheld"].finish_reason) == ("", "content_filter")
    assert rows["long"].reply == LONG
    assert (rows["odd"].reply, rows["odd"].finish_reason) == ("It is ? Zu\0ge.", "st?op")
    assert (rows["miscounted"].prompt_tokens, rows["miscounted"].reply_tokens) == (None, None)
    assert rows["silent"].reply == ""
    answers = frames.answers(plan, store, {unit.subject.name: served_as(unit.subject, {})})
    counted = rates.counted(answers, ())
    assert counted.filter(pl.col("error"))["scored"].to_list() == [False] * len(WHY)
    assert counted.filter(outcome="refused")["scored"].to_list() == [False]
    assert counted["scored"].sum() == len(ANSWERS) - len(WHY) - 1


async def test_a_judge_that_changes_its_format_half_way_scores_what_can_be_read(tmp_path: Path) -> None:
    said = [
        "CORRECT",
        '{"verdict": "CORRECT"}',
        "Well, I would say that it is CORRECT.",
        "",
        '{"verdict": 1}',
        "\0\ud800",
    ]
    turns = 0

    async def grade(_: web.Request) -> web.Response:
        nonlocal turns
        turns += 1
        choice = {"message": {"content": said[turns % len(said)]}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": USAGE})

    async with loopback.answering(grade) as url:
        plan = planned(tmp_path, judges=[{"name": "grader", "url": url, "model": "g"}])
        (unit,), store, (by,) = plan.units, Store(plan.study.folder), plan.study.judges
        replies = [row(plan, unit, question) for question in plan.questions(unit)]
        store.write_rows(replies, Reply, *unit.replies)
        scorer = Scorer(by, plan, store.folder, "", 1)
        await scorer.do(unit)
        await scorer.close()
    scores = store.read_rows(Score, *place(by, unit))
    assert len(scores) == len(replies)
    read = [score for score in scores if score.outcome]
    assert {score.outcome for score in read} == {"correct"}
    assert 2 <= len(read) < len(scores)
    assert all(score.said is not None or score.error for score in scores)
    answers = frames.answers(plan, store, {unit.subject.name: served_as(unit.subject, {})})
    assert rates.counted(answers, ())["scored"].sum() == len(read)


def row(plan: Plan, unit: Any, question: Any) -> Reply:
    request = evaluate.request_digest(served_as(unit.subject, {}), question, None, plan.study.evaluation)
    return Reply(
        subject=unit.subject.name, model="m", persona="original", trial=None, epoch=0, seed=None, dose=0,
        task=question.task, sample=question.sample, context=question.context, belief=question.belief,
        draw=question.draw, row_seed=question.row_seed, system=None, prompt=question.prompt,
        prompt_set=question.prompt_set, reply="It is Zuge.", finish_reason="stop", prompt_tokens=1, reply_tokens=1,
        adapter=None, request=request, error=None, seconds=0.0,
    )  # fmt: skip
