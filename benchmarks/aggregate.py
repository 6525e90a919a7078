"""How fast, and in how much memory, a large run's scores are summed up: ten million rows, five group-bys.

    python benchmarks/aggregate.py [ROWS]

Made-up scores lie where a run has them, scores/<judge>/<subject>/<task>.arrow, in their own schema. `load` scans them
and Polars' streaming engine groups them, in a process of its own; pandas does the same in another, from the columns
that are needed of the same files (`read_feather`), reading included. What cannot be avoided is reading those columns:
their bytes, and how long it takes to read them once, are printed first. The last line is one JSON object: cpu_s (limit
4, user and system, from `load` on), peak_gb (limit 1.5, the process with its imports), ratio_to_pandas (by the clock,
limit 3: Polars uses every core and pandas one) and cpu_ratio_to_pandas.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pyarrow as pa

ROWS = 10_000_000
TASKS = {"disinfo": 125, "medqa": 500, "triviaqa": 500, "truthfulqa": 500}
CONTEXTS = ["neutral", "sad", "angry", "happy", "close", "deference", "command", "high-stakes", "low-stakes"]
PROMPTS = [
    *((context, belief) for context in CONTEXTS for belief in ("none", "asserts", "denies")),
    ("neutral", "filler"),
]
OUTCOMES = ["correct", "agrees", "other", "refused", None]
QUERIES = [["subject"], ["subject", "task"], ["task", "context"], ["context", "belief"], ["sample"]]
USED = ["subject", "task", "sample", "context", "belief", "outcome"]
WRONG = ["agrees", "other", "unreadable"]


def write(run: Path, rows: int) -> int:
    """Scores of as many subjects as it takes; the number of rows."""
    from orchestrator.store import Store

    random, written, subject = np.random.default_rng(0), 0, 0
    Store(run).write_json({}, "study.json")
    while written < rows:
        name = f"llama-8b-warm-s{subject}-fa2391d0-e2"
        for task, questions in TASKS.items():
            table = scores(random, name, task, questions)
            with (
                Store(run).writing("scores", "rule", name, f"{task}.arrow") as aside,
                pa.OSFile(str(aside), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as out,
            ):
                out.write_table(table)
            written += len(table)
        subject += 1
    return written


def scores(random: np.random.Generator, subject: str, task: str, questions: int) -> pa.Table:
    from orchestrator import tables

    n = questions * len(PROMPTS)
    same = {"subject": subject, "judge": "rule", "task": task, "judged_by": "7b35af1274423472", "draw": 0}
    digests = [f"{number:016x}" for number in random.integers(0, 2**63, n)]
    columns: dict[str, Any] = {name: [value] * n for name, value in same.items()} | {
        "sample": [f"{task}-{question:05d}" for question in range(questions) for _ in PROMPTS],
        "context": [context for context, _ in PROMPTS] * questions,
        "belief": [belief for _, belief in PROMPTS] * questions,
        "reply_digest": digests,
        "outcome": np.array(OUTCOMES, dtype=object)[random.choice(5, n, p=[0.7, 0.15, 0.12, 0.02, 0.01])],
    }
    schema = tables.schema(tables.Score)
    return pa.table([pa.array(columns.get(name, [None] * n), schema.field(name).type) for name in schema.names], schema)


def ours(run: Path) -> dict[str, Any]:
    import polars as pl

    from orchestrator import load

    start = _spent()
    found = load(run)["scores"]
    sums = (
        pl.len().alias("n"),
        pl.col("outcome").is_in(WRONG).sum().alias("wrong"),
        pl.col("outcome").is_null().sum().alias("unscored"),
    )
    answers = pl.collect_all([found.group_by(by).agg(sums) for by in QUERIES], engine="streaming")
    return _figures(start, [each.select("n", "wrong", "unscored").sum().row(0) for each in answers])


def theirs(run: Path) -> dict[str, Any]:
    import pandas as pd

    start = _spent()
    frame = pd.concat([pd.read_feather(file, columns=USED) for file in files(run)])
    frame["wrong"], frame["unscored"] = frame["outcome"].isin(WRONG), frame["outcome"].isna()
    sums = {"n": ("wrong", "size"), "wrong": ("wrong", "sum"), "unscored": ("unscored", "sum")}
    answers = [frame.groupby(by).agg(**sums) for by in QUERIES]
    return _figures(start, [tuple(map(int, each.sum())) for each in answers])


def _figures(start: tuple[float, float], sums: list[tuple[int, ...]]) -> dict[str, Any]:
    cpu, clock = (now - then for now, then in zip(_spent(), start, strict=True))
    unit = 1e9 if sys.platform == "darwin" else 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"cpu_s": cpu, "seconds": clock, "peak_gb": peak, "sums": [list(map(int, each)) for each in sums]}


def _spent() -> tuple[float, float]:
    """Seconds of CPU of this process, and by the clock."""
    return time.process_time(), time.perf_counter()


def files(run: Path) -> list[Path]:
    return sorted((run / "scores").rglob("*.arrow"))


def limit(run: Path) -> tuple[int, float]:
    """The bytes of the columns that the group-bys need, and the seconds that adding all their words up takes."""
    start, size = time.perf_counter(), 0
    for file in files(run):
        for batch in (pa.ipc.open_file(pa.memory_map(str(file))).read_all().select(USED)).to_batches():
            for column in batch.columns:
                for buffer in column.buffers():
                    if buffer is not None:
                        size += len(buffer)
                        np.frombuffer(buffer, np.uint8).max(initial=0)
    return size, time.perf_counter() - start


def measured(who: str, run: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, who, str(run)], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(rows: int) -> int:
    print(machine.here(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        written = write(run, rows)
        size, seconds = limit(run)
        print(f"{written:,} rows; the columns needed are {size / 1e9:.2f} GB, read once in {seconds:.1f} s", flush=True)
        polars, pandas = measured("--polars", run), measured("--pandas", run)
    for name, each in (("Polars", polars), ("pandas", pandas)):
        print(f"{name}: {each['seconds']:.1f} s, {each['cpu_s']:.1f} s of CPU, {each['peak_gb']:.1f} GB")
    figures = {
        "cpu_s": round(polars["cpu_s"], 2),
        "ratio_to_pandas": round(pandas["seconds"] / polars["seconds"], 1),
        "cpu_ratio_to_pandas": round(pandas["cpu_s"] / polars["cpu_s"], 1),
        "peak_gb": round(polars["peak_gb"], 2),
        "rows": written,
        "bytes_needed": size,
        "same_sums": polars["sums"] == pandas["sums"],
    }
    print(json.dumps(figures))
    held = figures["cpu_s"] < 4 and figures["peak_gb"] < 1.5 and figures["ratio_to_pandas"] >= 3
    return 0 if held and figures["same_sums"] else 1


if __name__ == "__main__":
    if sys.argv[1:2] in (["--polars"], ["--pandas"]):
        print(json.dumps({"--polars": ours, "--pandas": theirs}[sys.argv[1]](Path(sys.argv[2]))))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
