"""What the data plane costs: asking, filing, resuming, reading. Nothing but its own work is counted.

    python benchmarks/dataplane.py [PYTHON]       PYTHON, of an environment with inspect_ai, puts Inspect beside it

Rows are asked by the project's own worker, as in a run. The last line is one JSON object, medians of repeats:
cpu_ms_per_row (a model in this process that answers at once), http_cpu_ms_per_row (over HTTP to a server in a process
of its own that answers at once, whose CPU time does not count), inspect_cpu_ms_per_row (Inspect with a model of ours
inside it that answers at once, the same number of rows, its status success; null without PYTHON), busy_pct (how much of
what it may have an endpoint of 50 ms has to do by its own clock, from its first request to its last answer: the least
over 8, 32 and 64 requests at a time; they come in step there, and each waits until those before it are sent),
busy_spread_pct (the same where answers take 50 ms, give or take half of that), busy_bare_pct (as busy_pct, of 64
bare sockets that send the same bytes again and again, which is as busy as this machine can keep it), peak_mb (this
process's memory with 1,000 requests open), resume_200k_s (from the start of a stage, Ray being up, over 200,000
finished rows to its first request), scan_10m_cpu_s (a group-by over ten million scores in compacted tables).
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import instant
import machine
import polars as pl
import pyarrow as pa
from made_up import entry

from orchestrator import Study, evaluate, frames, pieces, tables
from orchestrator.arrow_files import write_arrow
from orchestrator.client import Answer, Client
from orchestrator.evaluate import Asker
from orchestrator.plan import Plan
from orchestrator.store import Store
from orchestrator.tables import Reply, Score

ROWS, REPEATS = 2000, 5
LATENCY, OPEN = 0.05, (8, 32, 64)
RESUMED, SCANNED = 200_000, 10_000_000


def study(folder: Path, rows: int, url: str = "http://127.0.0.1:1/v1", **resources: Any) -> Study:
    """One subject, asked so many questions once."""
    return Study(
        name="plane",
        models=[{"name": "m", "hosted": {"url": url, "model": "m"}}],
        personas=["original"],
        evaluation={
            "tasks": [{**entry(folder, "triviaqa", rows), "samples": rows}],
            "contexts": ["neutral"],
            "beliefs": ["none"],
        },
        judges=["rule"],
        resources={"runs": str(folder), "workers": 1, **resources},
    )


class Instant:
    """A model in this process that answers at once."""

    async def chat(self, model: str, messages: list[dict[str, str]], **sampling: Any) -> Answer:  # noqa: ARG002
        return Answer("It is cause 1.", "stop", 50, 8, 0.0)

    async def close(self) -> None: ...


async def ask(plan: Plan, client: Any) -> tuple[float, float]:
    """CPU seconds of this process, and seconds on the clock, in which a worker asks and files all of a plan."""
    plan.questions(plan.units[0])  # they are the plan's, which a run makes before it asks
    asker = Asker(plan, plan.study.folder, "", {}, 1)
    asker._clients = {"m": client}
    cpu, clock = time.process_time(), time.perf_counter()
    assert await asker.do(plan.units[0]) == 0
    spent = time.process_time() - cpu, time.perf_counter() - clock
    await asker.close()
    assert len(Store(plan.study.folder).read_rows(Reply, *plan.units[0].replies)) == len(plan.questions(plan.units[0]))
    return spent


def asked(rows: int, url: str = "", in_flight: int = 64, **resources: Any) -> tuple[float, float]:
    """The same, over HTTP if there is an address."""
    with tempfile.TemporaryDirectory() as folder:
        plan = study(Path(folder), rows, **resources).plan()

        async def run() -> tuple[float, float]:
            return await ask(plan, Client(url, None, in_flight) if url else Instant())

        return asyncio.run(run())


def per_row(url: str = "") -> float:
    """Milliseconds of CPU a row."""
    found = [asked(ROWS, url)[0] for _ in range(REPEATS)]
    return round(1000 * statistics.median(found) / ROWS, 3)


def busy(spread: float) -> float:
    """Per cent of what it may have that an endpoint has to do, by its own clock; the least of several widths."""
    return min(statistics.median(_busy(spread, each) for _ in range(3)) for each in OPEN)


def _busy(spread: float, at_once: int) -> float:
    with instant.serving(LATENCY, spread) as url:
        asked(100 * at_once, url, at_once)
        return occupied(url, at_once)


def bare(at_once: int = max(OPEN)) -> float:
    """The same where nothing is done between an answer and the next request."""

    async def again(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(100):
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 200\r\n\r\n" + b" " * 200)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.split()[-1]))
        writer.close()

    async def all_of_them(port: int) -> None:
        await asyncio.gather(*(again(port) for _ in range(at_once)))

    with instant.serving(LATENCY) as url:
        asyncio.run(all_of_them(urlsplit(url).port or 0))
        return occupied(url, at_once)


def occupied(url: str, at_once: int) -> float:
    """Per cent of so many requests that an endpoint had open on average."""
    seen = instant.seen(url)
    return round(100 * seen["open_s"] / at_once / (seen["last"] - seen["first"]), 1)


def peak() -> float:
    """This process's memory at its most, in MB, with 1,000 requests open; run in a process of its own."""
    with instant.serving(LATENCY) as url:
        asked(10_000, url, 1000, unfiled=2000)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


# ------------------------------------------------------------------- resuming
def finished(plan: Plan, lacking: int) -> None:
    """File all of a plan's rows but so many, with their verdicts, as a run that was killed leaves them."""
    from orchestrator import judge
    from orchestrator.left import Left

    store, served = Store(plan.study.folder), Left(plan, Store(plan.study.folder)).served()
    by = plan.study.judges[0]
    for unit in plan.units:
        known, system = served[unit.subject.name], unit.subject.persona.system
        rows = [
            Reply(
                subject=unit.subject.name, model="m", persona=unit.subject.persona.name, trial=None, epoch=0, seed=None,
                dose=0, task=each.task, sample=each.sample, context=each.context, belief=each.belief, draw=each.draw,
                row_seed=each.row_seed, system=system, prompt=each.prompt, prompt_set=each.prompt_set,
                reply="It is cause 1.", finish_reason="stop", prompt_tokens=50, reply_tokens=8, adapter=None,
                request=evaluate.request_digest(known, each, system, plan.study.evaluation), error=None, seconds=0.1,
            )
            for each in plan.questions(unit)[lacking:]
        ]  # fmt: skip
        store.write_rows(rows, Reply, *unit.replies)
        identity = judge.identity(by, unit.task, plan.study.models)
        scores = [Score.on(row, judge=by.name, judged_by=identity, outcome="correct", error=None) for row in rows]
        store.write_rows(scores, Score, *judge.place(by, unit))


def resumed() -> float:
    """Seconds from the start of a stage over so many finished rows to its first request."""
    from orchestrator import cluster
    from orchestrator.filing import file_study
    from orchestrator.progress import Display
    from orchestrator.stages import Stages

    with tempfile.TemporaryDirectory() as folder, instant.serving(0) as url:
        made = study(Path(folder), RESUMED // 40, url).model_dump()
        made["evaluation"] |= {"draws": 4, "temperature": 0.7}
        made["personas"] += tuple(
            {"name": f"p{each}", "kind": "prompted", "system": f"Be {each}."} for each in range(9)
        )
        plan = Study.model_validate(made).plan()
        file_study(plan, Store(plan.study.folder), {})
        finished(plan, 10)
        with cluster.running(plan.study.resources), Store(plan.study.folder).locked():
            began = time.time()
            fresh = Plan(plan.study)
            Stages(fresh, Store(plan.study.folder), Display(), {}).asking.ask(fresh.units)
        return round(instant.seen(url)["first"] - began, 2)


# ------------------------------------------------------------------- reading
def scanned() -> float:
    """CPU seconds of a group-by over compacted tables, in which nothing of what was said is read."""
    with tempfile.TemporaryDirectory() as folder:
        store, each = Store(folder), SCANNED // 20
        for number in range(20):
            with store.writing("scores", "rule", f"s{number}", "t.arrow") as aside:
                write_arrow(scores(number, each), aside, {})
        found = frames.scan(Score, pieces.below(store.path("scores")))
        cpu = time.process_time()
        counted = found.group_by("subject", "outcome").len().collect(engine="streaming")
        assert counted["len"].sum() == SCANNED
        return round(time.process_time() - cpu, 2)


def scores(number: int, count: int) -> pa.Table:
    """A table of verdicts, in the schema of such tables."""
    one = Score(f"s{number}", "rule", "t", "q", "neutral", "none", 0, "d" * 16, "j" * 16, "correct", None)
    row = pl.DataFrame(pl.from_arrow(tables.table([one], Score)))
    many = pl.int_range(count, eager=True)
    wrong = pl.when(many % 3 == 0).then(pl.lit("other")).otherwise(pl.lit("correct"))
    made = row.select(pl.all().repeat_by(count).explode()).with_columns(sample=many.cast(pl.String), outcome=wrong)
    return made.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(tables.schema(Score))


def inspected(python: str) -> float:
    """Milliseconds of CPU a row that Inspect takes."""
    script = Path(__file__).with_name("inspect_rows.py")
    found = []
    for _ in range(REPEATS):
        done = subprocess.run([python, str(script), str(ROWS)], capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1])["cpu_ms_per_row"])
    return round(statistics.median(found), 2)


def main() -> None:
    if sys.argv[1:] == ["--peak"]:
        print(peak())
        return
    figures: dict[str, Any] = {"cpu_ms_per_row": per_row()}
    with instant.serving(0) as url:
        figures["http_cpu_ms_per_row"] = per_row(url)
    figures["inspect_cpu_ms_per_row"] = inspected(sys.argv[1]) if sys.argv[1:] else None
    figures["busy_pct"], figures["busy_spread_pct"], figures["busy_bare_pct"] = busy(0), busy(0.5), bare()
    alone = subprocess.run([sys.executable, __file__, "--peak"], capture_output=True, text=True, check=True)
    figures["peak_mb"] = float(alone.stdout)
    figures["resume_200k_s"], figures["scan_10m_cpu_s"] = resumed(), scanned()
    print(machine.here())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
