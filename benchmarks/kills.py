"""Is every row there once, whatever is killed? A run is killed at random, again and again, until it is finished.

    python benchmarks/kills.py --kills N [--seed S]

A study is asked and judged over HTTP while one of its processes after another is killed with signal 9, drawn by the
seed: the driver (`warmth run`, which is then started again), an actor that asks or judges, or one of two replicas of
the endpoint. The next one dies once the run has made as many calls as may be unfiled twice over. The last line is one
JSON object: kills, lost (planned replies and verdicts that are not there at the end), doubled (that are there more than
once), repeated_max (the most calls answered before that were made again between two kills), unfiled (how many that may
be at most), of_each (how many of each kind of process were killed).
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine
import psutil
import yaml
from made_up import entry

UNFILED, IN_FLIGHT, LATENCY = 128, 32, 0.02
STEP = 2 * UNFILED
"""Calls between two kills."""

TASKS, BELIEFS = ("triviaqa", "medqa"), ("none", "asserts")
LINE = 17
"""Bytes that a replica writes for a call that it answers."""

REPLICA = """
import asyncio, hashlib, json, os, sys

port, latency, log = int(sys.argv[1]), float(sys.argv[2]), os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n"

async def serve(reader, writer):
    try:
        while True:
            request = await reader.readuntil(b"\\r\\n\\r\\n")
            length = [line[16:] for line in request.split(b"\\r\\n") if line.lower().startswith(b"content-length: ")]
            asked = await reader.readexactly(int(length[0]) if length else 0)
            if not asked:  # whoever looks whether anybody is there
                writer.write(head % 2 + b"{}")
                continue
            await asyncio.sleep(latency)
            said = "CORRECT" if json.loads(asked)["model"] == "grader" else "It is cause 1."
            choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 50, "completion_tokens": 8}}).encode()
            os.write(log, hashlib.sha256(asked).hexdigest()[:16].encode() + b"\\n")
            writer.write(head % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=2**20, reuse_port=True)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class Endpoint:
    """Two processes on one port, and what they answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0
        self.replicas = [self._start(), self._start()]

    def _start(self) -> subprocess.Popen[str]:
        log = self._folder / f"calls-{time.time_ns()}"
        command = [sys.executable, "-c", REPLICA, str(self.port), str(LATENCY), str(log)]
        replica = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert replica.stdout is not None
        self.port = int(replica.stdout.readline())
        return replica

    def kill(self, which: int) -> None:
        """Kill a replica; another one takes its place."""
        self.replicas[which].kill()
        self.replicas[which].wait()
        self.replicas[which] = self._start()

    @property
    def answered(self) -> int:
        """How many calls were answered."""
        return sum(file.stat().st_size for file in self._folder.glob("calls-*")) // LINE

    @property
    def repeated(self) -> int:
        """How many of them had been answered before."""
        calls = Counter(line for file in self._folder.glob("calls-*") for line in file.read_text().split())
        return sum(calls.values()) - len(calls)

    def close(self) -> None:
        for each in self.replicas:
            each.kill()
            each.wait()


class Killed:
    """A run of a study and what is done to it. Ray runs for as long as this process, which started it."""

    def __init__(self, file: Path, endpoint: Endpoint, seed: int, address: str) -> None:
        self._file, self._endpoint, self._random = file, endpoint, random.Random(seed)
        self._environment = {**os.environ, "RAY_ADDRESS": address}
        self._driver, self._at = self._start(), -1
        self.of_each: Counter[str] = Counter()

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "orchestrator", "run", str(self._file)]
        log = self._file.with_suffix(".log").open("a")
        return subprocess.Popen(command, stdout=log, stderr=log, text=True, env=self._environment)

    def goes_on(self, calls: int) -> bool:
        """Wait for so many more calls, and start the run again where it broke off; False if it is done."""
        until = self._endpoint.answered + calls
        while self._endpoint.answered < until:
            if (code := self._driver.poll()) == 0:
                return False
            if code is not None:
                self._broke_off()
                self._driver = self._start()
            time.sleep(0.05)
        return True

    def _broke_off(self) -> None:
        """A run whose actor is killed too often breaks off; one that does so without a single call is at fault."""
        if self._endpoint.answered == self._at:
            raise RuntimeError(self._file.with_suffix(".log").read_text()[-2000:])
        self._at = self._endpoint.answered

    def kill(self) -> None:
        """Kill one of the run's processes, drawn at random."""
        victim = self._random.choice(("driver", "actor", "replica"))
        actors = [each for each in psutil.Process().children(recursive=True) if asks(each)]
        if victim == "replica":
            self._endpoint.kill(self._random.randrange(2))
        elif victim == "actor" and actors:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._random.choice(sorted(actors, key=lambda each: each.pid)).kill()
        else:
            victim = "driver"
            self._driver.kill()
            self._driver.wait()
        self.of_each[victim] += 1

    def finish(self) -> None:
        """Let the run come to its end."""
        while self.goes_on(10**9):
            pass


def asks(process: psutil.Process) -> bool:
    """Whether this is an actor that asks or judges."""
    try:
        return " ".join(process.cmdline()).startswith(("ray::Asker", "ray::Scorer"))
    except psutil.Error:
        return False


def study(folder: Path, port: int, kills: int) -> dict[str, Any]:
    """A study with calls enough for so many kills."""
    each = -(-kills * STEP * 3 // (4 * len(TASKS) * len(BELIEFS)))
    there = {"url": f"http://127.0.0.1:{port}/v1"}
    return {
        "name": "killed",
        "models": [{"name": "m", "hosted": {**there, "model": "m"}}],
        "personas": ["original"],
        "evaluation": {
            "tasks": [{**entry(folder, task, each), "samples": each} for task in TASKS],
            "contexts": ["neutral"],
            "beliefs": list(BELIEFS),
        },
        "judges": [{**there, "name": "grader", "model": "grader"}],
        "resources": {"runs": str(folder), "in_flight": IN_FLIGHT, "unfiled": UNFILED},
    }


@contextlib.contextmanager
def ray() -> Iterator[str]:
    """Ray, a child of this process that outlives drivers; gives its address."""
    from orchestrator import cluster
    from orchestrator.config import Resources

    with cluster.running(Resources(cpus=2)):
        import ray

        yield ray.get_runtime_context().gcs_address


def standing(file: Path) -> dict[str, int]:
    """Of the planned replies and verdicts: how many are lost, and how many are there more than once."""
    import polars as pl

    from orchestrator import Study, load, tables

    made = Study.load(file)
    planned = 2 * sum(len(made.plan().questions(unit)) for unit in made.plan().units)
    had = pl.col("error").is_null()
    rows = [load(made.folder)[name].filter(had).select(tables.KEY).collect() for name in ("replies", "scores")]
    there = sum(found.n_unique() for found in rows)
    return {"lost": planned - there, "doubled": sum(found.height for found in rows) - there}


def figures(kills: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, ray() as address:
        folder, file = Path(name), Path(name) / "killed.yaml"
        endpoint = Endpoint(folder)
        try:
            file.write_text(yaml.safe_dump(study(folder, endpoint.port, kills)))
            run, repeated = Killed(file, endpoint, seed, address), [0]
            while sum(run.of_each.values()) < kills and run.goes_on(STEP):
                repeated.append(endpoint.repeated)
                run.kill()
            run.finish()
        finally:
            endpoint.close()
        repeated.append(endpoint.repeated)
        most = max(later - before for before, later in itertools.pairwise(repeated))
        told = {"repeated_max": most, "unfiled": UNFILED, "of_each": dict(run.of_each)}
        return {"kills": run.of_each.total(), **standing(file), **told}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=20)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    found = figures(given.kills, given.seed)
    print(machine.here())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
