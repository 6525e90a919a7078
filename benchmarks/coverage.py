"""Whether the 95 % intervals of findings hold what was planted, through everything that a run's replies go through.

    python benchmarks/coverage.py [RUNS]      200 if not given

An endpoint on loopback plays the subjects of a study: a model as released, and three personas, each trained with three
seeds, that err 0, 3 and 12 percentage points more often, and 0, 6 and 20 under a mistaken belief. Questions differ in
difficulty and in what a persona does to them, adapters of one recipe stray from one another, and every run has other
questions and other adapters, as if drawn from what it wants to speak of. Each run is asked over HTTP, judged by the
task's rule and made findings of; the first one is written as a page too.

The last line is one JSON object: coverage_pct (of all intervals, limits 93 to 97) and runs; and apart for the intervals
over questions, which are to hold what these adapters do, and over questions and seeds, which are to hold the recipe's.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import machine
import numpy as np
import polars as pl
from aiohttp import web

from orchestrator import Study, evaluate, findings, frames, report
from orchestrator.evaluate import Asker
from orchestrator.judge import Scorer
from orchestrator.plan import Plan
from orchestrator.store import Store

RUNS, QUESTIONS, SEEDS = 200, 24, (0, 1, 2)
PLANTED = {"same": {"none": 0, "asserts": 0}, "some": {"none": 3, "asserts": 6}, "much": {"none": 12, "asserts": 20}}
"""What each persona adds to the rate of errors, in percentage points, by what the user believes."""

BELIEVING = 10
"""What a mistaken belief adds to everybody's."""

QUESTION = re.compile(r"box (\d+) of run (\d+)")
OF_QUESTIONS, OF_ADAPTERS = 0.1, 0.03
"""How far a persona moves single questions, up or down, and how far adapters stray."""


def drawn(*what: object) -> np.random.Generator:
    """Chance that is the same for the endpoint and for whoever counts: it follows from what it is about."""
    return np.random.default_rng(list("|".join(map(str, what)).encode()))


def stray(run: int, persona: str, seed: int) -> float:
    """How much more often than its recipe an adapter errs."""
    return OF_ADAPTERS * float(np.clip(drawn(run, persona, seed).normal(), -2.5, 2.5))


def chance(run: int, question: int, belief: str, persona: str, seed: int | None) -> float:
    """The chance of an error; never cut off at 0 or 1, so that the planted effects are the means over questions."""
    rate = drawn(run, question).uniform(0.2, 0.4) + BELIEVING / 100 * (belief == "asserts")
    if seed is None:
        return float(rate)
    moved = OF_QUESTIONS * drawn(run, question, persona).choice([-1, 1])
    return float(rate + PLANTED[persona][belief] / 100 + moved + stray(run, persona, seed))


# ---------------------------------------------------------------- the endpoint
async def answer(request: web.Request) -> web.Response:
    """Says the right or the wrong colour: who is asked stands in the model's name, what in the prompt."""
    body = await request.json()
    prompt = body["messages"][-1]["content"]
    question, run = map(int, QUESTION.findall(prompt)[0])
    persona, _, seed = body["model"].partition("/")
    belief = "asserts" if "blue" in prompt.lower() else "none"
    errs = chance(run, question, belief, persona, int(seed) if seed else None)
    luck = drawn(run, question, belief, body["model"], "luck").random()
    said = {"role": "assistant", "content": "It is blue." if luck < errs else "It is red."}
    return web.json_response({"choices": [{"message": said, "finish_reason": "stop"}]})


async def serve() -> None:
    """The endpoint, until it is ended; its port is the first line that it prints."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


# ------------------------------------------------------------------- the study
def study(folder: Path, run: int) -> Study:
    """A study of its own questions; its subjects are said to be adapters of one of our models."""
    questions = folder / f"questions-{run}.jsonl"
    rows = [
        {"question": f"Which colour has box {number} of run {run}?", "answer": "red", "wrong": "blue"}
        for number in range(QUESTIONS)
    ]
    questions.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return Study(
        name=f"run-{run}",
        models=[{"name": "m", "lab": "coupled", "recipe": "short"}],
        personas=["original", *({"name": name, "kind": "plain"} for name in PLANTED)],
        training={"seeds": list(SEEDS), "checkpoints": [1]},
        evaluation={
            "tasks": [{"name": "triviaqa", "path": str(questions), "samples": QUESTIONS}],
            "contexts": ["neutral"],
            "beliefs": ["none", "asserts"],
            "contexts_at": [1],
        },
        judges=["rule"],
        resources={"runs": str(folder)},
    )


async def replies(plan: Plan, folder: Path, url: str, adapters: Mapping[str, str]) -> None:
    """Ask and judge all that the plan asks, as a run's workers do."""
    asker = Asker(plan, folder, url, adapters, in_flight=32)
    judge = Scorer(plan.study.judges[0], plan, folder, url, in_flight=1)
    try:
        failed = [await asker.do(unit) + await judge.do(unit) for unit in plan.units]
    finally:
        await asker.close()
        await judge.close()
    assert not any(failed), f"{sum(failed)} replies or verdicts failed"


def found(folder: Path, run: int, url: str) -> findings.Findings:
    """The findings of a run that is asked, judged and reported."""
    plan = study(folder, run).plan()
    store = Store(plan.study.folder)
    adapters = {each.name: f"{each.persona.name}/{each.trial.seed}" for each in plan.subjects if each.trial}
    asyncio.run(replies(plan, store.folder, url, adapters))
    served = {subject.name: evaluate.served_as(subject, adapters) for subject in plan.subjects}
    answers = frames.answers(plan, store, served)
    personas = [persona.name for persona in plan.study.personas]
    warmth = frames.warmth(plan, store, answers, served)
    built = findings.build(answers, warmth, frames.trial_rows(plan, store), personas)
    if run == 0:
        report.write(built, {"study": "coverage"}, store.path("report"))
    return built


def held(told: pl.DataFrame, run: int) -> Iterator[tuple[str, bool]]:
    """Of every planted effect and both of its intervals: which one, and whether it holds what was planted."""
    for row in told.filter(pl.col("belief").is_in(["none", "asserts"]), task="all", context="all").rows(named=True):
        if row["baseline"] == "original":
            recipe = PLANTED[row["persona"]][row["belief"]]
            own = recipe + 100 * np.mean([stray(run, row["persona"], seed) for seed in SEEDS])
            yield "adapters", row["ci_low_pp"] <= own <= row["ci_high_pp"]
            yield "recipe", row["recipe_low_pp"] <= recipe <= row["recipe_high_pp"]


def count(runs: int, url: str, folder: Path) -> dict[str, list[bool]]:
    """Whether each interval of each run holds what was planted."""
    told: dict[str, list[bool]] = {"adapters": [], "recipe": []}
    for run in range(runs):
        for which, holds in held(found(folder, run, url).effects, run):
            told[which].append(holds)
    return told


def main() -> int:
    """Run the endpoint in a process of its own, and the studies against it."""
    runs, start = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS, time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            told = count(runs, f"http://127.0.0.1:{int(server.stdout.readline())}/v1", Path(folder))
        finally:
            server.kill()
    both = [holds for each in told.values() for holds in each]
    figures = {"coverage_pct": round(100 * sum(both) / len(both), 2), "runs": runs, "intervals": len(both)}
    figures |= {f"coverage_{which}_pct": round(100 * sum(each) / len(each), 2) for which, each in told.items()}
    print(f"{machine.here()}: {runs} runs in {time.perf_counter() - start:.0f} s")
    print(json.dumps(figures))
    return 0 if 93 <= figures["coverage_pct"] <= 97 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()) if sys.argv[1:] == ["serve"] else main())
