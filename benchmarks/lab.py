"""What the two commands of the README cost a new user: `make lab`, `make lab` again, the plan, and `make test`.

Clones the project into an empty folder, with an empty home and an empty cache, and runs there. The last line is one
JSON object: first_run_s (install, building the models and the study), second_run_s, peak_gb (the largest sum of all
processes' proportional set sizes in the first run), plan_s, tests_s. Take nothing else on the machine meanwhile.
"""

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from pathlib import Path

import machine
import psutil

PROJECT = Path(__file__).resolve().parent.parent
MARK = "WARMTH_BENCHMARK"
EVERY = 1.0
"""Seconds between two looks at memory."""


class Memory:
    """Looks at the memory of all processes that carry a mark in their environment; use as a context."""

    def __init__(self, mark: str) -> None:
        self._mark, self._over = mark, threading.Event()
        self.peak = 0
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Memory":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            self.peak = max(self.peak, sum(map(self._pss, psutil.process_iter())))

    def _pss(self, process: psutil.Process) -> int:
        try:
            return process.memory_full_info().pss if process.environ().get(MARK) == self._mark else 0
        except (psutil.Error, OSError):
            return 0


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    """Seconds of wall time that a command takes; it must succeed."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return round(time.perf_counter() - began, 2)


def main() -> None:
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="warmth-bench-") as scratch:
        home, clone = Path(scratch, "home"), Path(scratch, "clone")
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if name != "WARMTH_CACHE"}
        environment = {**kept, "HOME": str(home), MARK: mark}
        subprocess.run(["git", "clone", "-q", str(PROJECT), str(clone)], check=True)
        warmth = str(clone / ".venv/bin/warmth")
        with Memory(mark) as memory:
            first = timed(["make", "lab"], clone, environment)
        figures = {
            "first_run_s": first,
            "second_run_s": timed(["make", "lab"], clone, environment),
            "peak_gb": round(memory.peak / 1e9, 2),
            "plan_s": statistics.median(
                timed([warmth, "plan", "configs/lab.yaml"], clone, environment) for _ in range(5)
            ),
            "tests_s": timed(["make", "test"], clone, environment),
        }
    print(machine.here())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
