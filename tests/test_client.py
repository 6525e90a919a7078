"""The client against a real server on loopback that misbehaves as endpoints do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from orchestrator import client as module
from orchestrator.client import Client, RequestFailed

Handler = Callable[[web.Request], Awaitable[web.Response]]
Endpoint = Callable[[Handler], Awaitable[str]]


def completion(text: str) -> web.Response:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handler)
        runners.append(web.AppRunner(app))
        await runners[-1].setup()
        site = web.TCPSite(runners[-1], "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}/v1"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", (0.01, 0.01))


async def ask(url: str, **options: Any) -> module.Answer:
    async with Client(url, **options) as client:
        return await client.chat("m", [{"role": "user", "content": "Hello"}], temperature=0)


async def test_an_answer_and_its_tokens(endpoint: Endpoint) -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((await request.json(), request.headers.get("Authorization")))
        return completion("Hi {there}")

    said = await ask(await endpoint(answer), key="secret")
    assert (said.text, said.finish_reason, said.prompt_tokens, said.reply_tokens) == ("Hi {there}", "stop", 3, 2)
    body, key = seen[0]
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
    assert key == "Bearer secret"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, status: int) -> None:
    tries = 0

    async def busy_once(_: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        return web.Response(status=status, text="later") if tries == 1 else completion("Hi")

    assert (await ask(await endpoint(busy_once))).text == "Hi"
    assert tries == 2


async def test_a_refusal_is_final_and_says_why(endpoint: Endpoint) -> None:
    tries = 0

    async def refuse(_: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        return web.Response(status=404, text="no model is called m")

    with pytest.raises(RequestFailed, match="404: no model is called m"):
        await ask(await endpoint(refuse), key="secret")
    assert tries == 1


async def test_an_endpoint_that_never_recovers_and_no_secret_in_its_error(endpoint: Endpoint) -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500, text="oh")

    with pytest.raises(RequestFailed) as failed:
        await ask(await endpoint(broken), key="secret")
    assert "500: oh" in str(failed.value)
    assert "secret" not in str(failed.value)


async def test_an_endpoint_that_is_not_there() -> None:
    with pytest.raises(RequestFailed, match="ClientConnectorError"):
        await ask("http://127.0.0.1:9/v1")


async def test_an_endpoint_that_hangs(endpoint: Endpoint) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(2)
        return completion("late")

    with pytest.raises(RequestFailed, match="TimeoutError"):
        await ask(await endpoint(hang), timeout=0.1)


@pytest.mark.parametrize("body", ["{}", '{"choices": []}', '{"choices": [{"message": null}]}', "[]"])
async def test_an_answer_of_another_shape(endpoint: Endpoint, body: str) -> None:
    async def odd(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    with pytest.raises(RequestFailed, match="not a chat completion"):
        await ask(await endpoint(odd))


async def test_no_more_than_so_many_at_once(endpoint: Endpoint) -> None:
    at_once = most = 0

    async def slow(_: web.Request) -> web.Response:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return completion("Hi")

    url = await endpoint(slow)
    async with Client(url, in_flight=3) as client:
        await asyncio.gather(*(client.chat("m", [{"role": "user", "content": str(i)}]) for i in range(12)))
    assert most == 3
