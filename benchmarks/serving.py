"""What serving costs: replies through Ray Serve against the same engine called directly, and many adapters in a batch.

    python benchmarks/serving.py [RUN] [ENGINE ...]       a finished run; runs/lab if not given

Serves the run's first model, as it is and under its adapters, on the engines that are named, or on each that is
installed (`make setup-vllm` has both), and asks the run's own questions through the project's own client in this
process. The model's replies are kept from ending, so that each has the wanted length. Medians of repeats that take
turns. The last line is one JSON object: through_serve_ratio (tokens per second through Serve over those of the engine
called in this process, 256 requests of 128 tokens in flight; the least of the engines), mixed_adapters_ratio (tokens
per second of eight adapters in one stream over those of one adapter, 128 in flight; the transformers engine), and under
`engines` for each: the tokens per second that these are made of, and for replies of 8 tokens requests_per_s and CPU
milliseconds per request: cpu_ms, of which proxy_ms (Serve's HTTP proxy), engine_ms (the replica: protocol and model),
client_ms (this process), rest_ms.
The same of a long reply begin with served_long_, and direct_long_cpu_ms is what one takes without Serve: on a machine
of two cores, where the engine computes on one, all the others share what is left.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import machine
import psutil
import torch
from questions import Questions, run_folder

from orchestrator import cluster, engine_choice, serve
from orchestrator.client import Client
from orchestrator.engine import Engine, Request
from orchestrator.plan import Question
from orchestrator.serve_model import Base
from orchestrator.serve_model import engine as start
from orchestrator.settings import EngineName

LONG, SHORT, ADAPTERS, ROUNDS, REPEATS = 128, 8, 8, 4, 3
IN_FLIGHT, MIXED_IN_FLIGHT, ROWS = 256, 128, 128
ROLES = ("proxy", "engine", "client", "rest")
Asked = list[tuple[str, Question]]
Ask = Callable[[str, Question, int], Awaitable[int]]
"""Asks a model one question for so many tokens; says how many came."""


def endless(base: str, adapters: Path, names: Sequence[str], folder: Path) -> Base:
    """The model and some of its adapters again, but for the end of a reply, which is padding: it is never said."""
    shutil.copytree(base, folder / "base")
    padding = json.loads((folder / "base" / "tokenizer_config.json").read_text())["pad_token"]
    number = json.loads((folder / "base" / "config.json").read_text())["pad_token_id"]
    for name, changes in (
        ("tokenizer_config.json", {"eos_token": padding}),
        ("config.json", {"eos_token_id": number}),
        ("generation_config.json", {"eos_token_id": number}),
    ):
        _change(folder / "base" / name, changes)
    for name in names:
        shutil.copytree(adapters / name, folder / "adapters" / name)
        changed = {"base_model_name_or_path": str(folder / "base")}
        _change(folder / "adapters" / name / "adapter_config.json", changed)
    return Base(str(folder / "base"), str(folder / "adapters"), rows=ROWS)


def _change(file: Path, changes: dict[str, Any]) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def role(process: psutil.Process) -> str:
    """Which part of the way of a reply a process does."""
    if process.pid == os.getpid():
        return "client"
    command = " ".join([process.name(), *process.cmdline()])
    return "proxy" if "ProxyActor" in command else "engine" if is_engine(command) else "rest"


def is_engine(command: str) -> bool:
    return "ServeReplica" in command or "EngineCore" in command


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


def directly(engine: Engine, base: str) -> Ask:
    async def ask(name: str, question: Question, length: int) -> int:
        messages = [{"role": "user", "content": question.prompt}]
        adapter = None if name == base else name
        reply = await engine.generate(Request(adapter, messages=messages, max_tokens=length, temperature=0))
        return reply.reply_tokens

    return ask


def through(client: Client) -> Ask:
    async def ask(name: str, question: Question, length: int) -> int:
        messages = [{"role": "user", "content": question.prompt}]
        said = await client.chat(name, messages, temperature=0, max_tokens=length)
        return said.reply_tokens or 0

    return ask


async def speed(ask: Ask, asked: Asked, in_flight: int, length: int) -> float:
    """Replies per second while so many are in flight: without the first and the last ones, when fewer are."""
    room, over = asyncio.Semaphore(in_flight), list[float]()

    async def one(name: str, question: Question) -> None:
        async with room:
            count = await ask(name, question, length)
        assert count == length, f"a reply of {count} tokens, not {length}"
        over.append(time.perf_counter())

    await asyncio.gather(*(one(*each) for each in asked))
    return (len(asked) - 2 * in_flight) / (over[-1 - in_flight] - over[in_flight - 1])


async def spending(ask: Ask, asked: Asked, in_flight: int, length: int) -> tuple[float, dict[str, float]]:
    """Replies per second, and the CPU milliseconds of a reply: all of them, and of each role."""
    before = cpu_seconds()
    rate = await speed(ask, asked, in_flight, length)
    spent = {part: 1000 * (after - before[part]) / len(asked) for part, after in cpu_seconds().items()}
    return rate, {"cpu_ms": sum(spent.values()), **{f"{part}_ms": each for part, each in spent.items()}}


async def measure(engine: Engine, url: str, asked: Questions, mixed: bool) -> dict[str, float]:
    """One repeat of everything on one engine."""
    base = asked.of(0, ROUNDS * IN_FLIGHT)
    async with Client(url, in_flight=IN_FLIGHT) as client:
        direct, served = directly(engine, asked.model.name), through(client)
        alone, alone_spent = await spending(direct, base, IN_FLIGHT, LONG)
        long, long_spent = await spending(served, base, IN_FLIGHT, LONG)
        beside = await adapters(served, asked) if mixed else {}
        rate, spent = await spending(served, base, IN_FLIGHT, SHORT)
    return {
        "direct_tokens_per_s": LONG * alone,
        "served_tokens_per_s": LONG * long,
        **beside,
        "direct_long_cpu_ms": alone_spent["cpu_ms"],
        **{f"served_long_{name}": each for name, each in long_spent.items()},
        "requests_per_s": rate,
        **spent,
    }


async def adapters(served: Ask, asked: Questions) -> dict[str, float]:
    """One adapter's stream, and that of eight."""
    one, eight = (asked.of(count, ROUNDS * MIXED_IN_FLIGHT) for count in (1, ADAPTERS))
    return {
        "one_adapter_tokens_per_s": LONG * await speed(served, one, MIXED_IN_FLIGHT, LONG),
        "eight_adapters_tokens_per_s": LONG * await speed(served, eight, MIXED_IN_FLIGHT, LONG),
    }


async def repeats(engine: Engine, url: str, asked: Questions, mixed: bool) -> dict[str, float]:
    """Medians of the repeats, after one of short replies in which all is loaded."""
    everyone = asked.of(ADAPTERS, MIXED_IN_FLIGHT) + asked.of(0, MIXED_IN_FLIGHT)
    await speed(directly(engine, asked.model.name), everyone, MIXED_IN_FLIGHT // 2, SHORT)
    async with Client(url, in_flight=IN_FLIGHT) as client:
        await speed(through(client), everyone, MIXED_IN_FLIGHT // 2, SHORT)
    found = []
    for _ in range(REPEATS):
        found.append(await measure(engine, url, asked, mixed))
        print({name: round(value, 2) for name, value in found[-1].items()}, flush=True)
    return {name: round(statistics.median(each[name] for each in found), 2) for name in found[0]}


def on_engine(name: EngineName, base: Base, asked: Questions) -> dict[str, float]:
    """What is measured on one engine, and the ratios that come of it."""
    engine = start(replace(base, engine=name))
    try:
        url = serve.deploy({asked.model.name: base.folder}, base.adapters, engine=name, rows=base.rows)
        found = asyncio.run(repeats(engine, url, asked, mixed=name == "transformers"))
    finally:
        serve.shut_down()
        engine.close()  # type: ignore[attr-defined]
    return {"through_serve_ratio": round(found["served_tokens_per_s"] / found["direct_tokens_per_s"], 3), **found}


def mixed_ratio(found: dict[str, float] | None) -> float | None:
    """Eight adapters' tokens against one's, where that was measured."""
    return round(found["eight_adapters_tokens_per_s"] / found["one_adapter_tokens_per_s"], 3) if found else None


def main() -> None:
    torch.set_num_threads(1)  # as in a replica, which has one core
    asked = Questions(run_folder())
    names = {name for name, _ in asked.of(ADAPTERS, ADAPTERS)}
    named = [name for name in get_args(EngineName) if name in sys.argv[1:]] or get_args(EngineName)
    engines = [name for name in named if name != "vllm" or engine_choice.installed()]
    with tempfile.TemporaryDirectory() as folder, cluster.running(asked.plan.study.resources):
        base = endless(asked.weights, asked.store.path("adapters"), sorted(names), Path(folder))
        found = {name: on_engine(name, base, asked) for name in engines}
    print(machine.here())
    figures = {
        "through_serve_ratio": min(each["through_serve_ratio"] for each in found.values()),
        "mixed_adapters_ratio": mixed_ratio(found.get("transformers")),
        "engines": found,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
