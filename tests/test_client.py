"""The client against a real server on loopback that misbehaves as endpoints do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

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


@pytest.mark.parametrize(("key", "followed"), [(None, True), ("a key", False)])
async def test_a_shorter_way_is_taken_while_it_is_there_and_never_with_a_key(
    endpoint: Endpoint, key: str | None, followed: bool
) -> None:
    asked, way = {"long": 0, "short": 0}, dict[str, str]()

    async def short(request: web.Request) -> web.Response:
        asked["short"] += 1
        if asked["short"] == 2:
            request.transport.close()  # type: ignore[union-attr]
        said = completion("Hi")
        said.headers.update(way)
        return said

    way["Alt-Svc"] = f'http%2F1.1=":{URL(await endpoint(short)).port}"'

    async def long(_: web.Request) -> web.Response:
        asked["long"] += 1
        said = completion("Hi")
        said.headers.update(way if asked["long"] == 1 else {})
        return said

    async with Client(await endpoint(long), key) as client:
        for _ in range(3):
            assert (await client.chat("m", [{"role": "user", "content": "Hello"}])).text == "Hi"
    assert asked == ({"long": 2, "short": 2} if followed else {"long": 3, "short": 0})


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


async def test_half_an_answer_is_asked_for_again(endpoint: Endpoint) -> None:
    tries = 0

    async def cut_off(request: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        if tries > 2:
            return completion("Hi")
        half = completion("Hi").body[:30]  # type: ignore[index]
        if tries == 1:
            return web.Response(body=half, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(half)
        assert request.transport is not None
        request.transport.close()
        return response  # type: ignore[return-value]

    assert (await ask(await endpoint(cut_off))).text == "Hi"
    assert tries == 3


async def test_an_endpoint_that_only_ever_half_answers_is_said_so(endpoint: Endpoint) -> None:
    async def cut_off(_: web.Request) -> web.Response:
        return web.Response(text='{"choices": [{"mess', content_type="application/json")

    with pytest.raises(RequestFailed, match="half an answer"):
        await ask(await endpoint(cut_off))


@pytest.mark.parametrize(("code", "tries"), [(400, 1), (502, 3), ("rate_limited", 3)])
async def test_an_error_that_comes_as_a_success(endpoint: Endpoint, code: object, tries: int) -> None:
    seen = 0

    async def error(_: web.Request) -> web.Response:
        nonlocal seen
        seen += 1
        return web.json_response({"error": {"message": "no such luck", "code": code}})

    with pytest.raises(RequestFailed, match=r"200 with an error.*no such luck"):
        await ask(await endpoint(error))
    assert seen == tries


@pytest.mark.parametrize(
    ("choice", "text", "reason"),
    [
        ({"message": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}, "I will not.", "refusal"),
        ({"message": {"content": None}, "finish_reason": "content_filter"}, "", "content_filter"),
        ({"message": {"content": "So far"}, "finish_reason": "content_filter"}, "So far", "content_filter"),
        ({"message": {"content": "Half \ud800"}, "finish_reason": 7}, "Half ?", None),
    ],
)
async def test_what_an_endpoint_withholds_is_told_by_the_reason(
    endpoint: Endpoint, choice: object, text: str, reason: str | None
) -> None:
    async def withhold(_: web.Request) -> web.Response:
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": "many"}})

    said = await ask(await endpoint(withhold))
    assert (said.text, said.finish_reason, said.prompt_tokens) == (text, reason, None)


async def test_a_message_without_text_is_no_answer(endpoint: Endpoint) -> None:
    async def call_a_tool(_: web.Request) -> web.Response:
        return web.json_response({"choices": [{"message": {"content": None}, "finish_reason": "tool_calls"}]})

    with pytest.raises(RequestFailed, match=r"holds no text.*tool_calls"):
        await ask(await endpoint(call_a_tool))


async def test_an_endpoint_is_left_alone_for_as_long_as_it_wants(endpoint: Endpoint) -> None:
    times: list[float] = []

    async def limited(_: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            return web.Response(status=429, headers={"Retry-After": "0.3"})
        return completion("Hi")

    assert (await ask(await endpoint(limited))).text == "Hi"
    assert times[1] - times[0] >= 0.3


async def test_an_endpoint_that_wants_to_be_left_alone_for_hours_has_failed(endpoint: Endpoint) -> None:
    async def limited(_: web.Request) -> web.Response:
        return web.Response(status=429, text="tomorrow", headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"})

    with pytest.raises(RequestFailed, match="429: tomorrow"):
        await ask(await endpoint(limited))


async def test_an_endpoint_that_is_busy_and_says_for_how_long_is_asked_as_often_as_it_takes(endpoint: Endpoint) -> None:
    tries = 0

    async def crowded(_: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        return web.Response(status=429, headers={"Retry-After": "0.01"}) if tries < 20 else completion("Hi")

    assert (await ask(await endpoint(crowded))).text == "Hi"
    assert tries == 20


async def test_an_empty_account_is_not_asked_again(endpoint: Endpoint) -> None:
    tries = 0

    async def broke(_: web.Request) -> web.Response:
        nonlocal tries
        tries += 1
        return web.json_response({"error": {"code": "insufficient_quota"}}, status=429)

    with pytest.raises(RequestFailed, match="insufficient_quota"):
        await ask(await endpoint(broke))
    assert tries == 1


@pytest.mark.parametrize("status", [200, 400, 401, 500])
async def test_an_endpoint_that_repeats_the_key_does_not_give_it_away(endpoint: Endpoint, status: int) -> None:
    async def echo(request: web.Request) -> web.Response:
        said = f"{'x' * 280}you sent {dict(request.headers)}"
        if status == 200:
            return completion(said)
        return web.json_response({"error": said}, status=status)

    try:
        shown = repr(await ask(await endpoint(echo), key=" sk-planted-0123456789\n"))
    except RequestFailed as failed:
        shown = str(failed)
    assert "sk-" not in shown
    assert "you sent" in shown


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


async def test_as_many_as_may_be_open_are_open(endpoint: Endpoint) -> None:
    at_once, waiting = 0, asyncio.Event()

    async def hold(_: web.Request) -> web.Response:
        nonlocal at_once
        at_once += 1
        if at_once == 64:
            waiting.set()
        await asyncio.wait_for(waiting.wait(), 5)
        return completion("Hi")

    async with Client(await endpoint(hold), in_flight=64) as client:
        asked = (client.chat("m", [{"role": "user", "content": str(i)}]) for i in range(128))
        assert len(await asyncio.gather(*asked)) == 128
