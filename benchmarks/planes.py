"""Our way of asking beside two that Ray has: its Data library's requests over HTTP, and calls on Serve's handles.

    python benchmarks/planes.py

The same rows are asked of an endpoint that answers at once, then of one that takes 50 ms, by the project's own worker
with the requests in flight that a run has by default, and by `ray.data.llm` with one actor, whose stage sends the
requests of a batch one after another, so that its batches are of one. The endpoint's own CPU time does not count. Then
a deployment of Ray Serve that answers at once is asked over HTTP by the project's own client, past Serve's proxy as in
a run, and by calls on its handle: here all CPU time counts, as asking and answering cannot be told apart. The last line
is one JSON object, medians of repeats: CPU milliseconds a row, and rows per second of the endpoint of 50 ms.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import instant
import machine
from dataplane import LATENCY, REPEATS, ROWS, asked
from orchestration import used
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchestrator import cluster, serve_host
from orchestrator.client import Client
from orchestrator.config import Resources
from orchestrator.serve_access import Access
from orchestrator.serve_shortcut import Shortcut

AT_ONCE = 64
QUESTION = [{"role": "user", "content": "What is the cause of the thing that was named in the question before this?"}]


def by_our_worker(url: str) -> tuple[float, float]:
    """CPU seconds, and seconds on the clock."""
    return asked(ROWS, url, AT_ONCE)


def by_ray_data(url: str) -> tuple[float, float]:
    """The same for `ray.data.llm`: rows from memory, replies to files. Its workers start before the clock does."""
    import ray
    from ray.data.llm import HttpRequestProcessorConfig, build_processor

    ray.data.DataContext.get_current().enable_progress_bars = False
    config = HttpRequestProcessorConfig(url=f"{url}/chat/completions", batch_size=1, concurrency=1)
    process = build_processor(
        config,
        preprocess=lambda row: {"payload": {"model": "m", "messages": QUESTION, "seed": row["id"]}},
        postprocess=lambda row: {"reply": row["http_response"]["choices"][0]["message"]["content"]},
    )
    with tempfile.TemporaryDirectory() as folder:
        cpu, clock = used(), time.perf_counter()
        process(ray.data.range(ROWS, override_num_blocks=AT_ONCE)).write_parquet(folder)
        return used() - cpu, time.perf_counter() - clock


class Instant:
    """Answers at once, over HTTP and to calls."""

    def __init__(self) -> None:
        self._shortcut = Shortcut()
        choice = {"message": {"role": "assistant", "content": "It is cause 1."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 50, "completion_tokens": 8}
        self._said = json.dumps({"choices": [choice], "usage": usage}).encode()

    def __serve_build_asgi_app__(self) -> Starlette:
        """Serve asks for the application once the replica is made."""
        return Starlette(routes=[Route("/v1/chat/completions", self._chat, methods=["POST"])])

    async def _chat(self, http: Request) -> Response:
        said = await self.answer(await http.body())
        response = Response(said, media_type="application/json")
        response.raw_headers += self._shortcut.headers()
        return response

    async def answer(self, raw: bytes) -> bytes:
        """The whole answer to a body."""
        json.loads(raw)
        return self._said


async def all_of_them(ask: Callable[[int], Awaitable[Any]]) -> float:
    """CPU milliseconds a row of everything that runs, with so many in flight."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(row: int) -> None:
        async with room:
            await ask(row)

    before = used()
    await asyncio.gather(*map(one, range(ROWS)))
    return 1000 * (used() - before) / ROWS


async def served(url: str, handle: Any) -> dict[str, float]:
    """Over HTTP and by calls, in turns."""
    found: dict[str, list[float]] = {"serve_http_cpu_ms": [], "serve_handle_cpu_ms": []}

    async def call(row: int) -> None:
        said = await handle.answer.remote(json.dumps({"model": "m", "messages": QUESTION, "seed": row}).encode())
        assert json.loads(said)["choices"]

    async with Client(url, None, AT_ONCE) as client:

        async def request(row: int) -> None:
            assert (await client.chat("m", QUESTION, seed=row)).text

        for repeat in range(REPEATS + 1):
            for name, ask in (("serve_http_cpu_ms", request), ("serve_handle_cpu_ms", call)):
                spent = await all_of_them(ask)
                if repeat:
                    found[name].append(spent)
    return {name: round(statistics.median(each), 3) for name, each in found.items()}


def behind_serve() -> dict[str, float]:
    """What a row costs where Serve answers."""
    from ray import serve

    place = serve_host.place("planes", "127.0.0.1", 0, Access())
    deployment = serve.deployment(serve.ingress()(Instant)).options(max_ongoing_requests=2 * AT_ONCE)
    serve.run(deployment.bind(), name="planes", route_prefix=place.path)
    try:
        return asyncio.run(served(place.url, serve.get_app_handle("planes")))
    finally:
        serve_host.leave("planes")


def endpoints(way: Callable[[str], tuple[float, float]], name: str, repeats: int) -> dict[str, float]:
    """One way of asking: CPU of a row where answers come at once, and rows per second where each takes 50 ms."""
    with instant.serving(0) as url:
        cpu = [way(url)[0] for _ in range(repeats + 1)][1:]
    with instant.serving(LATENCY) as url:
        clock = [way(url)[1] for _ in range(repeats)]
    return {
        f"{name}_cpu_ms": round(1000 * statistics.median(cpu) / ROWS, 3),
        f"{name}_rows_per_s": round(ROWS / statistics.median(clock), 1),
    }


def main() -> None:
    """Print each figure as it comes, then all of them."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, cluster.running(Resources(runs=folder)):
        for make in (
            lambda: endpoints(by_our_worker, "worker", REPEATS),
            lambda: endpoints(by_ray_data, "ray_data", 1),
            behind_serve,
        ):
            figures |= make()
            print(figures, flush=True)
    print(machine.here())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
