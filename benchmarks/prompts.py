"""How long it takes to put the study's grid of prompts together: 1,625 questions in the 28 published conditions.

python benchmarks/prompts.py      prints the figures, and at the end one line of JSON with `grid_s` (limit: 5 s)
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from machine import here
from made_up import entry

from orchestrator import Study
from orchestrator.plan import Plan

QUESTIONS = {"triviaqa": 500, "truthfulqa": 500, "medqa": 500, "disinfo": 125}
LIMIT = 5


def main() -> int:
    """Build the grid once, from made-up questions in files, as a worker does before it asks its first unit."""
    with tempfile.TemporaryDirectory() as folder:
        plan = study(Path(folder)).plan()
        start = time.perf_counter()
        prompts = grid(plan)
        took = time.perf_counter() - start
    figures = {"grid_s": round(took, 2), "limit_s": LIMIT, "prompts": prompts, "questions": sum(QUESTIONS.values())}
    print(f"{here()}: {prompts:,} prompts in {took:.2f} s, the questions' files read as well")
    print(json.dumps(figures))
    return 0 if took < LIMIT and prompts == 28 * sum(QUESTIONS.values()) else 1


def grid(plan: Plan) -> int:
    """Every question of the first subject."""
    return sum(len(plan.questions(unit)) for unit in plan.units if unit.subject == plan.subjects[0])


def study(folder: Path) -> Study:
    """The published grid over questions of its size that are made up."""
    return Study(
        name="prompts",
        models=["lab-coupled"],
        personas=["original"],
        evaluation={"tasks": [entry(folder, *each, tales=8) for each in QUESTIONS.items()], "grid": "published"},
        judges=[{"name": "none", "url": "http://127.0.0.1:1/v1", "model": "none"}],
    )


if __name__ == "__main__":
    sys.exit(main())
