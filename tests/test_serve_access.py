"""Who may come in, and with how much: keys, addresses, pages of other sites, sizes. No Ray is needed for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest
from click.testing import CliRunner
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator import serve_access
from orchestrator.__main__ import main
from orchestrator.endpoint import Opening
from orchestrator.engine import Reply
from orchestrator.errors import WarmthError
from orchestrator.serve_access import Access
from orchestrator.serve_http import application
from orchestrator.serve_metrics import Counts, together

KEY = "sk-planted-0123456789"


async def asked(access: Access, counts: Counts | None = None, **request: object) -> httpx.Response:
    """What an application answers that says how long a body is, and breaks where it is empty."""

    async def length(http: Request) -> Response:
        return Response(str(len(await serve_access.body(http, 10)) or 1 / 0))

    app = application([Route("/v1/length", length, methods=["POST"])], access, counts or Counts())
    settings = {"method": "POST", "url": "http://127.0.0.1:8000/v1/length", "content": b"12345"} | request
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer  {KEY}", 200),
        (None, 401),
        ("Bearer ", 401),
        (f"Bearer {KEY}x", 401),
        (f"Bearer {KEY[:-1]}", 401),
        (f"Basic {KEY}", 401),
        (KEY, 401),
        ("Bearer ключ", 401),
    ],
)
async def test_only_the_key_opens_and_no_answer_holds_it(header: str | None, status: int) -> None:
    headers = {"Authorization": header.encode()} if header else {}
    said = await asked(Access.by(KEY), headers=headers)
    assert said.status_code == status
    assert KEY not in said.text + str(said.headers)
    if status == 401:
        assert said.json()["error"]["code"] == "invalid_api_key"
        assert said.headers["WWW-Authenticate"] == "Bearer"


async def test_what_is_not_there_is_not_told_without_the_key() -> None:
    assert (await asked(Access.by(KEY), url="http://127.0.0.1/v1/nothing")).status_code == 401
    there = await asked(Access(), url="http://127.0.0.1/v1/nothing")
    assert (there.status_code, there.json()["error"]["type"]) == (404, "invalid_request_error")
    wrong = await asked(Access(), method="DELETE")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "10.0.0.7:8000"}, 200),
        ({"Host": "rebound.example:8000"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_without_a_key_pages_of_other_sites_are_not_answered(headers: dict[str, str], status: int) -> None:
    assert (await asked(Access(), headers=headers)).status_code == status
    with_key = await asked(Access.by(KEY), headers={**headers, "Authorization": f"Bearer {KEY}"})
    assert with_key.status_code == 200


async def test_a_body_is_read_no_further_than_it_may_be_long() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"123456"

    for content in (b"12345678901", endless()):
        said = await asked(Access(), content=content)
        assert said.status_code == 413
        assert "10" in said.json()["error"]["message"]


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            import asyncio

            yield b"1"
            await asyncio.sleep(60)

    monkeypatch.setattr(serve_access, "PATIENCE", 0.05)
    assert (await asked(Access(), content=Slow())).status_code == 408


async def test_what_breaks_inside_is_an_error_of_the_protocol_and_is_counted() -> None:
    counts = Counts()
    said = await asked(Access(), counts, content=b"")
    assert (said.status_code, said.json()["error"]["type"]) == (500, "server_error")
    await asked(Access(), counts)
    await asked(Access(), counts, url="http://127.0.0.1/v1/anything/else")
    text = counts.text({})
    assert 'warmth_requests_total{path="/v1/length",status="500"} 1.0' in text
    assert 'warmth_requests_total{path="/v1/length",status="200"} 1.0' in text
    assert 'warmth_requests_total{path="other",status="404"} 1.0' in text
    assert "warmth_in_flight 0.0" in text


def test_all_replicas_counts_are_one_page() -> None:
    one, two = Counts(), Counts()
    one.said("base", [Reply("Hi", "stop", 3, 2), Reply("Ho", "stop", 4, 1)])
    lines = together({"a": one.text({"base": 5}), "b": two.text({"base": 0})}).decode().splitlines()
    assert 'warmth_tokens_total{base="base",of="prompts",replica="a"} 7.0' in lines
    assert 'warmth_tokens_total{base="base",of="replies",replica="a"} 3.0' in lines
    assert 'warmth_adapters{base="base",replica="a"} 5.0' in lines
    assert 'warmth_adapters{base="base",replica="b"} 0.0' in lines
    assert sum(line.startswith("# TYPE warmth_adapters ") for line in lines) == 1
    assert sum(line.startswith("# HELP ") for line in lines) == len({line for line in lines if "# HELP" in line})


def test_a_key_comes_from_a_file_or_else_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f" {KEY}\n")
    file.chmod(0o600)
    assert serve_access.key(file, {"WARMTH_API_KEY": "another-key-0123456"}) == KEY
    assert serve_access.key(None, {"WARMTH_API_KEY": KEY}) == KEY
    assert serve_access.key(None, {}) is None


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (KEY, 0o604, "chmod 600"),
        (KEY, 0o602, "chmod 600"),
        ("short", 0o600, "16 visible"),
        ("", 0o600, "16 visible"),
        ("ключключключключ", 0o600, "16 visible"),
        ("sk-planted 0123456789", 0o600, "16 visible"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_a_key_that_is_no_secret_is_refused_and_not_shown(
    tmp_path: Path, content: str | None, mode: int, says: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(WarmthError, match=says) as refused:
        serve_access.key(file, {})
    assert str(file) in str(refused.value)
    assert not content or content not in str(refused.value).replace(str(file), "")


def test_an_address_that_others_reach_needs_a_key() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        serve_access.check_bind(host, None)
    for host in ("0.0.0.0", "::", "10.0.0.7", "some-name", ""):
        with pytest.raises(WarmthError, match="--api-key-file"):
            serve_access.check_bind(host, None)
        serve_access.check_bind(host, KEY)


def test_the_key_is_shown_by_nothing_that_holds_it() -> None:
    assert KEY not in f"{Opening('0.0.0.0', KEY)!r} {Access.by(KEY)!r}"


def test_the_command_does_not_open_a_run_to_others_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARMTH_API_KEY", raising=False)
    refused = CliRunner().invoke(main, ["serve", "runs/nothing", "--host", "0.0.0.0"])
    assert (refused.exit_code, "--api-key-file" in refused.output) == (1, True)
    monkeypatch.setenv("WARMTH_API_KEY", KEY)
    next_problem = CliRunner().invoke(main, ["serve", "runs/nothing", "--host", "0.0.0.0"])
    assert "study.json" in next_problem.output
    assert KEY not in next_problem.output
