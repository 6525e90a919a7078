"""Asking: what an endpoint says becomes rows, whatever it says (a real server on loopback that speaks the protocol)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import loopback
import pytest_asyncio
from aiohttp import web

from orchestrator import Study, tables
from orchestrator.evaluate import Asker, missing, served_as
from orchestrator.store import Store
from orchestrator.tables import Reply

SAID = [
    {"message": {"content": "assistant\n\nIt is Zuge."}, "finish_reason": "stop"},
    {"message": {"content": "It is"}, "finish_reason": "length"},
    {"message": {"content": None}, "finish_reason": "content_filter"},
    {"message": {"content": None}, "finish_reason": "tool_calls"},
]


def small(runs: Path) -> Study:
    return Study(
        name="small",
        models=[{"name": "m", "lab": "coupled", "recipe": "short"}],
        personas=["original"],
        evaluation={"tasks": ["lab_facts"], "contexts": ["neutral"], "beliefs": ["none"], "samples": 8},
        judges=["rule"],
        resources={"runs": str(runs)},
    )


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    turn = 0

    async def say(_: web.Request) -> web.Response:
        nonlocal turn
        turn += 1
        return web.json_response(
            {"choices": [SAID[turn % 4]], "usage": {"prompt_tokens": 9, "completion_tokens": turn}}
        )

    async with loopback.answering(say) as url:
        yield url


async def test_what_an_endpoint_says_becomes_rows(tmp_path: Path, url: str) -> None:
    plan = small(tmp_path).plan()
    (unit,), store = plan.units, Store(plan.study.folder)
    asker = Asker(plan, store.folder, url, {}, 4)
    assert await asker.do(unit) == 2
    rows = store.read_rows(Reply, *unit.replies)
    assert Counter((row.finish_reason, row.role_header) for row in rows) == {
        ("stop", True): 2,
        ("length", False): 2,
        ("content_filter", False): 2,
        (None, None): 2,
    }
    assert all(row.reply_tokens and row.prompt_tokens == 9 for row in rows if row.error is None)
    assert [row.error for row in rows if row.error] == [
        "the endpoint's answer holds no text (finish_reason tool_calls)"
    ] * 2
    waiting = missing(plan, store, unit, served_as(unit.subject, {}))
    assert {tables.key(each) for each in waiting} == {tables.key(row) for row in rows if row.error}
    await asker.close()


async def test_two_who_ask_the_same_ask_it_once(tmp_path: Path) -> None:
    asked = 0

    async def say(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"choices": [SAID[1]], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})

    plan = small(tmp_path).plan()
    (unit,), store = plan.units, Store(plan.study.folder)
    async with loopback.answering(say) as url:
        askers = [Asker(plan, store.folder, url, {}, 4) for _ in range(3)]
        assert await asyncio.gather(*(asker.do(unit) for asker in askers)) == [0, 0, 0]
        for asker in askers:
            await asker.close()
    assert asked == len(store.read_rows(Reply, *unit.replies)) == 8
