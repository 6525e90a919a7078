"""What a reply costs inside the engine alone, by rows in the batch and by adapters among them.

    python benchmarks/engine.py [RUN]      a finished run; runs/lab if not given

CPU time of this process, one thread, medians of interleaved repeats. The limit is the arithmetic: two operations a
parameter for every token read or written. The last line is one JSON object: cpu_ms_per_reply and replies_per_cpu_s by
`rows` (base alone) and by `adapters` (at 96 rows), limit_ms_per_reply, gflops (what a matrix product reaches here).
"""

import asyncio
import json
import statistics
import time

import machine
import torch
from questions import Questions, run_folder

from orchestrator.engine import Reply
from orchestrator.engine_transformers import TransformersEngine

ROWS, ADAPTERS, DEFAULT_ROWS = (32, 64, 96, 128), (0, 1, 8, 24), 96
COUNT, REPEATS = 768, 5


async def _answer(engine: TransformersEngine, asked: Questions, adapters: int) -> tuple[float, list[Reply]]:
    """CPU milliseconds per reply, and the replies."""
    requests = [asked.request(*question) for question in asked.of(adapters, COUNT)]
    began = time.process_time()
    replies = await asyncio.gather(*(engine.generate(request) for request in requests))
    return 1000 * (time.process_time() - began) / COUNT, replies


def measure(asked: Questions, rows: int, adapters: int) -> tuple[float, list[Reply]]:
    """One repeat in a fresh engine, after one that is not counted."""
    engine = TransformersEngine(asked.weights, str(asked.store.path("adapters")), rows=rows)
    try:
        asyncio.run(_answer(engine, asked, adapters))
        return asyncio.run(_answer(engine, asked, adapters))
    finally:
        engine.close()


def matrix_rate() -> float:
    """Operations per CPU second of a float32 matrix product in one thread."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    began = time.process_time()
    for _ in range(40):
        a @ b
    return 40 * 2 * 1024**3 / (time.process_time() - began)


def limit_ms(asked: Questions, replies: list[Reply], rate: float) -> float:
    """The least CPU milliseconds that a reply's arithmetic takes at that rate."""
    from transformers import AutoModelForCausalLM

    parameters = AutoModelForCausalLM.from_pretrained(asked.weights).num_parameters()
    tokens = statistics.mean(reply.prompt_tokens + reply.reply_tokens for reply in replies)
    return 1000 * 2 * parameters * tokens / rate


def main() -> None:
    torch.set_num_threads(1)
    asked = Questions(run_folder())
    cases = [*((rows, 0) for rows in ROWS), *((DEFAULT_ROWS, adapters) for adapters in ADAPTERS if adapters)]
    found: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    plain: list[Reply] = []
    for _ in range(REPEATS):
        for case in cases:
            spent, replies = measure(asked, *case)
            found[case].append(spent)
            plain = replies if case[1] == 0 else plain
    rate, ms = matrix_rate(), {case: statistics.median(each) for case, each in found.items()}
    by_rows = {rows: ms[rows, 0] for rows in ROWS}
    by_adapters = {adapters: ms[DEFAULT_ROWS, adapters] for adapters in ADAPTERS}
    print(f"{machine.here()}, one thread")
    for heading, values in (("rows, base alone", by_rows), (f"adapters, {DEFAULT_ROWS} rows", by_adapters)):
        for value, spent in values.items():
            print(
                f"{heading:<20} {value:>4}   {spent:6.2f} ms of CPU per reply   {1000 / spent:6.0f} replies per CPU s"
            )
    figures = {
        "cpu_ms_per_reply": {
            "rows": {rows: round(spent, 2) for rows, spent in by_rows.items()},
            "adapters": {adapters: round(spent, 2) for adapters, spent in by_adapters.items()},
        },
        "replies_per_cpu_s": {
            "rows": {rows: round(1000 / spent) for rows, spent in by_rows.items()},
            "adapters": {adapters: round(1000 / spent) for adapters, spent in by_adapters.items()},
        },
        "limit_ms_per_reply": round(limit_ms(asked, plain, rate), 2),
        "gflops": round(rate / 1e9),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
