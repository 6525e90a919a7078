"""Replicas come and go with the load, and one that is killed under load costs no reply."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
import tiny
from pydantic import ValidationError
from ray import serve as ray_serve

from orchestrator import serve
from orchestrator.client import Answer, Client
from orchestrator.config import Resources
from orchestrator.endpoint import scale_of
from orchestrator.serve_scaling import BARE, Scale, door, lone, scaled

CHAT = [{"role": "user", "content": "hello"}]
NAMES: list[str] = []
"""The base, and its adapter."""
Asking = Callable[[Client], Awaitable[Answer]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaled")
    base = tiny.tiny_model(folder / "one", 0)
    NAMES[:] = ["one", tiny.tiny_adapter(folder / "adapters" / "one-warm", base, 10).name]
    return folder


@pytest.fixture
def deploy(ray_session: None, folder: Path) -> Iterator[Callable[[Scale], str]]:  # noqa: ARG001
    yield lambda scale: serve.deploy({"one": str(folder / "one")}, str(folder / "adapters"), scale=scale)
    serve.shut_down()


def asking(number: int, tokens: int) -> Asking:
    """Every second request is the adapter's."""

    async def ask(client: Client) -> Answer:
        return await client.chat(NAMES[number % 2], CHAT, temperature=0, max_tokens=tokens)

    return ask


async def asked(url: str, count: int, tokens: int, beside: Callable[[], Awaitable[None]] | None = None) -> list[str]:
    """The replies to so many requests, all at once, while something else happens; any that failed raises."""
    async with Client(url, in_flight=count) as client:
        tasks = [asyncio.create_task(asking(number, tokens)(client)) for number in range(count)]  # type: ignore[arg-type]
        if beside:
            await beside()
        return [each.text for each in await asyncio.gather(*tasks)]


def replicas(of: str) -> int:
    """How many of a deployment are running."""
    deployments = ray_serve.status().applications["warmth"].deployments
    return sum(count for state, count in deployments[of].replica_states.items() if state == "RUNNING")


async def until(true: Callable[[], bool], url: str = "") -> None:
    """Waits, under load if there is an address; a test's own time limit ends it."""
    while not true():
        if url:
            await asked(url, 64, 64)
        await asyncio.sleep(0.2)


def processes(of: str) -> list[psutil.Process]:
    """The processes of a deployment's replicas."""
    everyone = psutil.Process().children(recursive=True)
    return [each for each in everyone if f"ServeReplica:warmth:{of}" in " ".join(each.cmdline())]


@pytest.mark.slow
async def test_replicas_appear_under_load_and_vanish_when_it_is_over(deploy: Callable[[Scale], str]) -> None:
    url = deploy(Scale(least=1, most=2, target=8, idle_s=2, cpus=0.5))
    assert replicas("model-one") == 1
    await until(lambda: replicas("model-one") == 2, url)
    assert len(set(await asked(url, 200, 8))) == 2
    async with httpx.AsyncClient() as client:
        metrics = (await client.get(url.replace("/v1", "/metrics"))).text
    assert metrics.count('warmth_adapters{base="one"') == 2
    assert metrics.count("warmth_in_flight{") == 4  # two doors, two models
    await until(lambda: replicas("model-one") == 1)


@pytest.mark.slow
async def test_the_last_replica_goes_and_comes_when_it_is_asked(deploy: Callable[[Scale], str]) -> None:
    url = deploy(Scale(least=0, most=1, idle_s=0, cpus=0.5))
    await until(lambda: replicas("model-one") == 0)
    async with httpx.AsyncClient() as client:
        assert len((await client.get(f"{url}/models")).json()["data"]) == 2
    assert len(await asked(url, 1, 4)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "victim"),
    [
        (Scale(cpus=0.5), "Door"),
        (Scale(least=2, most=2, target=32, cpus=0.5), "model-one"),
        (Scale(least=2, most=2, target=32, cpus=0.5), "Door"),
    ],
    ids=["lone", "replica", "door"],
)
async def test_a_replica_that_is_killed_under_load_costs_no_reply(
    deploy: Callable[[Scale], str], scale: Scale, victim: str
) -> None:
    url = deploy(scale)
    undisturbed = await asked(url, 2, 200)

    async def kill() -> None:
        await asyncio.sleep(0.5)
        processes(victim)[0].kill()

    began = time.monotonic()
    assert await asked(url, 200, 200, kill) == undisturbed * 100
    print(f"{victim}: {time.monotonic() - began:.1f} s")


@pytest.mark.slow
async def test_what_is_being_said_is_said_to_its_end_when_the_endpoint_closes(deploy: Callable[[Scale], str]) -> None:
    url = deploy(Scale(cpus=0.5))
    body = {"model": "one", "messages": CHAT, "max_tokens": 240, "temperature": 0, "stream": True}
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("POST", f"{url}/chat/completions", json=body) as said,
    ):
        pieces = said.aiter_lines()
        first = await anext(pieces)
        closing = asyncio.create_task(asyncio.to_thread(serve.shut_down))
        lines = [first, *[line async for line in pieces]]
        await closing
    assert lines[-2:] == ["data: [DONE]", ""] or lines[-1] == "data: [DONE]"


@pytest.mark.slow
async def test_ten_thousand_at_once_are_answered_in_bounded_memory(deploy: Callable[[Scale], str]) -> None:
    url = deploy(Scale(cpus=0.5))
    everyone = psutil.Process().children(recursive=True)
    serving = [
        each for each in everyone if {"ServeReplica", "ProxyActor"} & set(re.split(r"\W+", " ".join(each.cmdline())))
    ]
    before = sum(each.memory_info().rss for each in serving)
    most = before

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(each.memory_info().rss for each in serving))
            await asyncio.sleep(0.5)

    watching = asyncio.create_task(watch())
    assert len(set(await asked(url, 10_000, 2))) == 2
    watching.cancel()
    print(f"{(most - before) / 2**20:.0f} MB for 10,000 requests")
    assert most - before < 2**31  # 134 KB for each connection to Serve's proxy, whether its request waits or not


def test_a_lone_replica_is_its_own_door_and_others_are_scaled_by_serve() -> None:
    few, many = Scale(), Scale(least=0, most=4, target=10, idle_s=7, cpus=0.5, gpus=0.25)
    assert (few.fixed, many.fixed, Scale(least=2, most=2).fixed) == (True, False, False)
    assert "autoscaling_config" not in lone(few)
    grow = scaled(many)["autoscaling_config"]
    assert (grow.min_replicas, grow.max_replicas, grow.target_ongoing_requests, grow.downscale_delay_s) == (0, 4, 10, 7)
    assert scaled(many)["ray_actor_options"] == {"num_cpus": 0.5, "num_gpus": 0.25}
    assert door(many, BARE)["ray_actor_options"] == {"num_cpus": 0}


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("wanted", "bases", "replicas"),
    [
        ({}, 1, (1, 1)),
        ({"workers": 64}, 1, (1, 4)),
        ({"workers": 64}, 2, (1, 2)),
        ({"rows": 16}, 1, (1, 1)),
        ({"workers": 4, "in_flight": 96}, 1, (1, 2)),
        ({"workers": 64, "replicas": 1}, 1, (1, 1)),
        ({"replicas": {"min": 0, "max": 3}}, 1, (0, 3)),
        ({"replicas": {"min": 0}}, 9, (0, 1)),
        ({"replicas": 6}, 1, (6, 6)),
    ],
)
def test_replicas_are_as_many_as_workers_need_and_four_cores_have_room_for(
    wanted: dict[str, Any], bases: int, replicas: tuple[int, int]
) -> None:
    scale = scale_of(Resources(**wanted), bases)
    assert (scale.least, scale.most) == replicas
    assert scale.cpus * bases * max(1, scale.least) <= 4


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"replicas": {"min": 3, "max": 2}}, "min 3 is more than max 2"),
        ({"replicas": 0}, "replicas"),
        ({"replicas": True}, "replicas"),
        ({"gpus_per_replica": 1.5}, "whole number"),
        ({"gpus_per_replica": 0}, "gpus_per_replica"),
    ],
)
def test_what_cannot_be_served_so_is_said_at_once(wanted: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Resources(**wanted)


def test_several_gpus_are_a_placement_group_with_one_for_each_of_the_engines_workers() -> None:
    options = lone(Scale(cpus=2, gpus=4))
    assert options["placement_group_bundles"] == [{"CPU": 2, "GPU": 1}, {"GPU": 1}, {"GPU": 1}, {"GPU": 1}]
    assert options["ray_actor_options"] == {"num_cpus": 2}
