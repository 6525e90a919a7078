"""How many requests an endpoint gets at once: as it keeps up, and a second one only where that is asked for."""

import asyncio

import loopback
import pytest
from aiohttp import web

from orchestrator import client as module
from orchestrator.client import Client
from orchestrator.pace import Pace

ASKED = [{"role": "user", "content": "Hello"}]
SAID = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}


async def test_an_overburdened_endpoint_is_given_half_once_a_round_and_then_one_more_a_round() -> None:
    pace = Pace(64)
    async with pace:
        pace.busy(began=0, after=0)
        pace.busy(began=0, after=0)  # asked before it was slowed down
    assert pace.limit == 32
    for _ in range(32):
        pace.well()
    assert pace.limit == 33
    for _ in range(40):
        pace.busy(began=float("inf"), after=0)
    assert pace.limit == 1
    for _ in range(10_000):
        pace.well()
    assert pace.limit == 64


async def test_never_more_are_open_than_the_pace_allows() -> None:
    pace, at_once, most = Pace(8), 0, 0

    async def one() -> None:
        nonlocal at_once, most
        async with pace:
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1

    await asyncio.gather(*(one() for _ in range(40)))
    assert most == 8
    pace.busy(began=float("inf"), after=0)
    await asyncio.gather(*(one() for _ in range(8)))  # what was free before is used up
    most = 0
    await asyncio.gather(*(one() for _ in range(40)))
    assert most == 4


async def test_an_endpoint_that_takes_so_many_at_once_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses whatever is beyond twelve at once; all are answered in the end."""
    monkeypatch.setattr(module, "PATIENCE", (0.01,) * 200)
    at_once = refused = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal at_once, refused
        if at_once >= 12:
            refused += 1
            return web.Response(status=429)
        at_once += 1
        await asyncio.sleep(0.01)
        at_once -= 1
        return web.json_response(SAID)

    async with loopback.answering(answer) as url, Client(url, in_flight=64) as client:
        replies = await asyncio.gather(*(client.chat("m", ASKED) for _ in range(300)))
        assert len(replies) == 300
        assert refused
        assert client.pace.limit < 64


@pytest.mark.parametrize(("hedge", "asked"), [(None, 1), (0.05, 2)])
async def test_a_late_answer_is_asked_for_twice_only_if_that_is_wanted(hedge: float | None, asked: int) -> None:
    tries = 0

    async def first_is_late(_: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0.4 if tries == 1 else 0)
        return web.json_response(SAID)

    async with loopback.answering(first_is_late) as url, Client(url, hedge=hedge) as client:
        assert (await client.chat("m", ASKED)).text == "Hi"
    assert tries == asked


async def test_all_wait_for_as_long_as_an_endpoint_wants_to_be_left_alone() -> None:
    times: list[float] = []

    async def limited(_: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "0.4"})
        return web.json_response(SAID)

    async with loopback.answering(limited) as url, Client(url) as client:
        first = asyncio.create_task(client.chat("m", ASKED))
        while client.pace.limit == 64:
            await asyncio.sleep(0)
        await asyncio.gather(first, client.chat("m", ASKED))
    assert min(times[1:]) - times[0] >= 0.4
