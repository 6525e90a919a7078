"""How fast the published regressions are fitted, that they are the same fits, and how often tests cry wolf.

    python benchmarks/regressions.py [NULL_SIMULATIONS]

The study's four models M1 to M4 with errors clustered by question, over rows drawn in its layout: 1,625 questions of
four tasks x 28 prompts x 5 models x original and warm, 455,000 replies, of which as many fail as leave 440,000. Ours
(`regression.fit_rows`, effects in points included) against statsmodels over the same rows one by one, formula and all,
in this process; both in seconds of CPU, ours the best of three. M1L, whose reply lengths hardly repeat, gains nothing
from counting and is told apart. The last line is one JSON object: speedup (limit 20), coef_diff (largest absolute
difference, limit 1e-6), se_diff (largest relative one, limit 1e-4), and what `nulls.py` gives (limits 4 to 6).
"""

import json
import sys
import time
from typing import Any

import machine
import nulls
import numpy as np
import pandas as pd
import polars as pl
import statsmodels.api as sm
import statsmodels.formula.api as smf

from orchestrator import formulas, regression, regression_rows
from orchestrator.regression_rows import Rows

TASKS = {"disinfo": 125, "medqa": 500, "triviaqa": 500, "truthfulqa": 500}
MODELS = ["gpt-4o", "llama-70b", "llama-8b", "mistral-small", "qwen-32b"]
CONTEXTS = ["neutral", "sad", "angry", "happy", "close", "deference", "command", "high-stakes", "low-stakes"]
PROMPTS = [
    *((context, belief) for context in CONTEXTS for belief in ("none", "asserts", "denies")),
    ("neutral", "filler"),
]
FAILED = 1 - 440_000 / 455_000


def answers(seed: int = 0) -> pl.DataFrame:
    """Counted answers of the study's shape; questions differ in how hard they are, and in what a belief does."""
    random = np.random.default_rng(seed)
    questions = pl.DataFrame([(task, f"s{n}") for task, count in TASKS.items() for n in range(count)], orient="row")
    asked = questions.rename({"column_0": "task", "column_1": "sample"}).with_columns(
        hard=random.normal(0, 1, len(questions)), pull=random.normal(0.3, 0.5, len(questions))
    )
    for names, values in ((["context", "belief"], PROMPTS), (["model"], [(model,) for model in MODELS])):
        asked = asked.join(pl.DataFrame(values, schema=names, orient="row"), how="cross")
    personas = pl.DataFrame({"persona": ["original", "warm"], "epoch": [0.0, 2.0], "seed": [None, 0]})
    rows = asked.join(personas, how="cross")
    warm, believed = (rows["persona"] == "warm").to_numpy(), rows["belief"].is_in(["asserts", "denies"]).to_numpy()
    odds = -1.6 + rows["hard"].to_numpy() + warm * 0.43 + believed * rows["pull"].to_numpy()
    wrong = random.random(len(rows)) < 1 / (1 + np.exp(-odds))
    text = pl.lit("x").repeat_by(pl.Series(random.integers(100, 1200, len(rows)))).list.join("")
    return rows.with_columns(
        judge=pl.lit("rule"),
        outcome=pl.Series(np.where(wrong, "other", "correct")),
        wrong=wrong,
        error=pl.Series(random.random(len(rows)) < FAILED),
        reply=text,
    ).with_columns(scored=~pl.col("error"))


def ours(rows: Rows, formula: str) -> tuple[regression.Fit, float]:
    """The fit, and the least of three times in seconds of CPU."""
    times = []
    for _ in range(3):
        start = time.process_time()
        fit = regression.fit_rows(rows, formula, cluster="question")
        times.append(time.process_time() - start)
    return fit, min(times)


def theirs(frame: pd.DataFrame, formula: str) -> tuple[Any, float]:
    """statsmodels' fit row by row, and its seconds of CPU."""
    start = time.process_time()
    groups = frame["question"].cat.codes
    model = smf.glm(formula, frame, family=sm.families.Binomial())
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
    return fit, time.process_time() - start


def compare(rows: Rows, name: str) -> dict[str, float]:
    named = formulas.NAMED[name]
    for column, value in named.rows.items():
        rows = rows.keep(pl.col(column) == pl.lit(value), column)
    fit, fast = ours(rows, named.formula)
    words = pl.col("task", "model", "context", "context_group").cast(pl.String)  # empty levels would be terms
    wanted, slow = theirs(rows.frame.with_columns(words).to_pandas(), named.formula)
    mine = fit.coefficients
    print(f"{name}: {fit.n:,} rows, {len(mine)} terms: {slow:.2f} s against {fast:.3f} s", flush=True)
    return {
        "slow": slow,
        "fast": fast,
        "coef": float(np.abs(mine["estimate"].to_numpy() - wanted.params.to_numpy()).max()),
        "se": float(np.abs(mine["se"].to_numpy() / wanted.bse.to_numpy() - 1).max()),
    }


def main() -> int:
    print(machine.here(), flush=True)
    rows = regression_rows.rows(answers())
    found = {name: compare(rows, name) for name in formulas.NAMED}
    four = [each for name, each in found.items() if name != "M1L"]
    false = nulls.false_positives(int(sys.argv[1]) if len(sys.argv) > 1 else nulls.SIMULATIONS)
    figures = {
        "speedup": round(sum(each["slow"] for each in four) / sum(each["fast"] for each in four), 1),
        "coef_diff": max(each["coef"] for each in found.values()),
        "se_diff": max(each["se"] for each in found.values()),
        "rows": len(rows.frame),
        "cpu_s": round(sum(each["fast"] for each in four), 3),
        "row_level_cpu_s": round(sum(each["slow"] for each in four), 2),
        "with_length_speedup": round(found["M1L"]["slow"] / found["M1L"]["fast"], 1),
        **false,
    }
    print(json.dumps(figures))
    held = figures["speedup"] >= 20 and figures["coef_diff"] <= 1e-6 and figures["se_diff"] <= 1e-4
    return 0 if held and all(4 <= false[name] <= 6 for name in ("null_false_positive_pct", "null_fp_seeds_pct")) else 1


if __name__ == "__main__":
    sys.exit(main())
