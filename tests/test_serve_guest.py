"""Beside what others run on Serve: an application of one's own under its own path, and nothing else is touched."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import tiny
from ray import serve as ray_serve
from starlette.requests import Request

from orchestrator import serve, serve_host
from orchestrator.client import Client
from orchestrator.errors import WarmthError
from orchestrator.serve_scaling import Scale

CHAT = [{"role": "user", "content": "hello"}]
SCALE = Scale(cpus=0.5)


@ray_serve.deployment(ray_actor_options={"num_cpus": 0})
class Other:
    """What somebody else serves."""

    async def __call__(self, _: Request) -> str:
        return "other"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.tiny_model(tmp_path / "one", 0)
    return tmp_path


@pytest.fixture
def others(ray_session: None) -> Iterator[str]:  # noqa: ARG001
    """The address of a Serve that somebody else has started, and uses."""
    port = serve_host.check_port("127.0.0.1", 0)
    ray_serve.start(http_options={"host": "127.0.0.1", "port": port})
    ray_serve.run(Other.bind(), name="other", route_prefix="/other")
    yield f"http://127.0.0.1:{port}"
    ray_serve.shutdown()


async def test_a_guest_takes_a_path_of_its_own_and_leaves_the_rest(
    others: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deploy(**where: object) -> str:
        return serve.deploy({"one": str(folder / "one")}, str(folder / "adapters"), scale=SCALE, **where)  # type: ignore[arg-type]

    for where, says in (({"port": 1}, "is shared; take port 0 or"), ({"host": "0.0.0.0"}, "leave --host out")):
        with pytest.raises(WarmthError, match=says):
            deploy(**where)
    url = deploy()
    assert url == f"{others}/warmth/v1"
    async with Client(url) as client:
        said = [(await client.chat("one", CHAT, temperature=0, max_tokens=8)).text for _ in range(4)]
    assert len(set(said)) == 1
    paths = ("/warmth/", "/warmth/health", "/warmth/metrics", "/other")
    page, health, metrics, other = (httpx.get(others + path) for path in paths)
    assert ("Two subjects" in page.text, health.status_code, other.text) == (True, 200, "other")
    assert 'path="/v1/chat/completions"' in metrics.text
    serve.shut_down()
    assert httpx.get(f"{others}/other").text == "other"
    ray_serve.delete("other")
    monkeypatch.setenv("RAY_ADDRESS", "a cluster of others' making")
    serve.shut_down()
    assert serve_host.options() is not None


async def test_a_door_says_where_it_listens_itself_and_answers_there_alike(ray_session: None, folder: Path) -> None:  # noqa: ARG001
    url = serve.deploy({"one": str(folder / "one")}, str(folder / "adapters"), scale=SCALE)
    body = {"model": "one", "messages": CHAT, "temperature": 0, "max_tokens": 8}
    async with httpx.AsyncClient(timeout=60) as client:
        said = await client.post(f"{url}/chat/completions", json=body)
        while "alt-svc" not in said.headers:
            said = await client.post(f"{url}/chat/completions", json=body)
        named = said.headers["alt-svc"].removeprefix('http%2F1.1=":').removesuffix('"')
        directly = await client.post(f"http://127.0.0.1:{named}/v1/chat/completions", json=body)
    assert directly.json()["choices"] == said.json()["choices"]
    assert serve_host.options().port != int(named)  # type: ignore[union-attr]
    serve.shut_down()
    assert serve_host.options() is None
