"""What a reply costs through Ray Serve, and where the time goes.

    python benchmarks/serve.py [RUN]       a finished run; runs/lab if not given

Serves the run's first model with its adapters and asks them the run's own questions through the project's own client,
one process, as many in flight as a run's workers have. CPU time of all processes of Ray and of this one, medians of
repeats. The last line is one JSON object: replies_per_s, and CPU milliseconds per reply: cpu_ms, of which proxy_ms
(Serve's HTTP proxy), engine_ms (the replica: protocol and model), client_ms (this process), rest_ms (Ray's others).
"""

import asyncio
import json
import os
import statistics
import time

import machine
import psutil
from questions import Questions, run_folder

from orchestrator import cluster, serve
from orchestrator.client import Client
from orchestrator.plan import Question

ADAPTERS, COUNT, REPEATS = 24, 2000, 5
ROLES = ("proxy", "engine", "client", "rest")


def role(process: psutil.Process) -> str:
    """Which part of the way of a reply a process does."""
    if process.pid == os.getpid():
        return "client"
    command = " ".join(process.cmdline())
    return "proxy" if "ProxyActor" in command else "engine" if "ServeReplica" in command else "rest"


def cpu_seconds() -> dict[str, float]:
    """CPU seconds so far, by role, of this process and all below it."""
    spent = dict.fromkeys(ROLES, 0.0)
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            times = process.cpu_times()
            spent[role(process)] += times.user + times.system
        except psutil.Error:
            continue
    return spent


async def ask(client: Client, asked: Questions, questions: list[tuple[str, Question]]) -> None:
    """All the questions, as many at once as the client keeps open."""
    sampling = {"temperature": asked.sampling.temperature, "max_tokens": asked.sampling.max_tokens}
    await asyncio.gather(
        *(
            client.chat(name, [{"role": "user", "content": each.prompt}], seed=each.row_seed, **sampling)
            for name, each in questions
        )
    )


async def repeats(url: str, asked: Questions, in_flight: int) -> list[dict[str, float]]:
    """Milliseconds of CPU per reply by role, and replies per second, of each repeat but the first."""
    questions, found = asked.of(ADAPTERS, COUNT), []
    async with Client(url, in_flight=in_flight) as client:
        for _ in range(REPEATS + 1):
            before, began = cpu_seconds(), time.perf_counter()
            await ask(client, asked, questions)
            passed, after = time.perf_counter() - began, cpu_seconds()
            spent = {f"{part}_ms": 1000 * (after[part] - before[part]) / COUNT for part in after}
            found.append({"replies_per_s": COUNT / passed, "cpu_ms": sum(spent.values()), **spent})
    return found[1:]


def main() -> None:
    asked = Questions(run_folder())
    resources = asked.plan.study.resources
    with cluster.running(resources):
        bases, adapters = {asked.model.name: asked.weights}, str(asked.store.path("adapters"))
        url = serve.deploy(bases, adapters, rows=resources.rows)
        try:
            found = asyncio.run(repeats(url, asked, resources.in_flight * resources.workers))
        finally:
            serve.shut_down()
    figures = {name: round(statistics.median(each[name] for each in found), 2) for name in found[0]}
    print(machine.here())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
