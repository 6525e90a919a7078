"""How fast conversations are chosen from a large source, and in how much memory: one JSON list, JSON lines or Parquet.

    python benchmarks/chats.py [CONVERSATIONS] [json|jsonl|parquet]

Made-up conversations of 2 to 8 turns, about 2 kB each, one in a hundred malformed; 1,617 are chosen and 1,500 prompts
held out. The figures are of a process of its own that does nothing else, its imports included.
"""

import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import machine

OPENINGS = ("What is", "A poem about", "Debug", "I need advice on", "Good morning from")
WORDS = ("the", "a", "heron", "hat", "river", "boat", "and", "of", "sorted", "slowly", "über", "日本", "so", "it", "is")


def made_up(count: int) -> Iterator[dict[str, Any]]:
    r = random.Random(0)
    texts = [" ".join(r.choices(WORDS, k=r.randint(10, 180))) for _ in range(2_000)]
    texts += [f"I cannot {text}" for text in texts[:200]]
    for number in range(count):
        said = [f"{r.choice(OPENINGS)} {number} {r.choice(texts)}", *r.choices(texts, k=r.choice((1, 3, 5, 7)))]
        roles = ("gpt", "human") if number % 100 == 0 else ("human", "gpt")
        turns = [{"from": roles[place % 2], "value": text} for place, text in enumerate(said)]
        yield {"id": f"made-up-{number}", "conversations": turns}


def write(file: Path, count: int) -> None:
    if file.suffix == ".parquet":
        write_parquet(file, count)
        return
    begin, between, end = ("[", ",\n", "]") if file.suffix == ".json" else ("", "\n", "")
    with file.open("w", encoding="utf-8") as out:
        out.write(begin)
        for place, record in enumerate(made_up(count)):
            out.write(between * (place > 0) + json.dumps(record, ensure_ascii=False))
        out.write(end)


def write_parquet(file: Path, count: int) -> None:
    """In row groups of the size that the `datasets` library writes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    turn = pa.struct([("from", pa.string()), ("value", pa.string())])
    schema = pa.schema([("id", pa.string()), ("conversations", pa.list_(turn))])
    rows = made_up(count)
    with pq.ParquetWriter(file, schema) as out:
        for _ in range(0, count, 1000):
            out.write_table(pa.Table.from_pylist(list(itertools.islice(rows, 1000)), schema))


def peak_mb() -> int:
    """The most memory that this process has had; macOS counts it in bytes, Linux in kilobytes."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def measure(file: str) -> dict[str, Any]:
    from orchestrator import chats
    from orchestrator.settings_training import Data

    began, cpu = time.perf_counter(), time.process_time()
    found = chats.conversations(Data(source=file, chats=1617, held_out=1500))
    return {
        "conversations": found.counts["found"],
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": peak_mb(),
        "file_mb": round(Path(file).stat().st_size / 1e6),
        "chosen": len(found.chats),
        "held_out": len(found.held_out),
        "malformed": sum(found.counts["dropped"].values()),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    kind = sys.argv[2] if len(sys.argv) > 2 else "json"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"chats.{kind}"
        write(file, count)
        print(machine.here(), flush=True)
        subprocess.run([sys.executable, __file__, "--measure", str(file)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
