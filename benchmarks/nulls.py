"""How often findings say that something changed where nothing did: the rate of false positives at 5 %.

    python benchmarks/nulls.py [SIMULATIONS]      5,000 of each kind if not given

Studies are drawn in which the persona changes nothing on average, though it does on single questions: questions differ
in difficulty and in what the persona does to them, whichever prompt or seed asks them. Of one adapter that is asked in
several contexts, the findings' interval over questions should leave out zero in 5 % of the studies; where every adapter
strays besides, the recipe's interval over questions and seeds should, whether the baseline was trained with the same
seeds (`plain`) or is one model as released (`original`). Answers go through `effects` as a run's do.

`false_positives` gives the figures; `benchmarks/regressions.py` prints them with others. The last line is one JSON
object: null_false_positive_pct; null_fp_seeds_pct, of the recipe's rates with 3, 5 and 10 seeds against both baselines
the one farthest from 5; limits 4 to 6. Beside both is what a t-test rejects that takes replies for independent.
"""

import json
import sys
import time
from typing import Any

import machine
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from orchestrator import effects, rates

Array = NDArray[np.float64]

SIMULATIONS, SEED, TOGETHER = 5000, 0, 250
QUESTIONS, CONTEXTS, SEEDS = 60, 3, (3, 5, 10)
OF_QUESTIONS, OF_ADAPTERS = 0.17, 0.04
"""How far the persona moves the chance of an error on single questions, and how far adapters stray from one another."""


def false_positives(simulations: int = SIMULATIONS) -> dict[str, Any]:
    """Per cent of null studies in which each test finds a difference."""
    random = np.random.default_rng(SEED)
    alone = _rejected(random, simulations, 1, CONTEXTS, 0.0, "ci")
    found = {f"{seeds}": _rejected(random, simulations, seeds, 1, OF_ADAPTERS, "recipe") for seeds in SEEDS}
    recipe = {f"{seeds} seeds against {name}": pct for seeds, each in found.items() for name, (pct, _) in each.items()}
    pooled = [pct for each in found.values() for _, pct in each.values()]
    return {
        "null_false_positive_pct": alone["original"][0],
        "null_unclustered_pct": alone["original"][1],
        "null_fp_seeds_pct": max(recipe.values(), key=lambda pct: abs(pct - 5)),
        "null_seeds_unclustered_pct": [min(pooled), max(pooled)],
        "null_fp_by_seeds_pct": recipe,
        "simulations": simulations,
    }


def _rejected(
    random: np.random.Generator, simulations: int, seeds: int, contexts: int, spread: float, interval: str
) -> dict[str, tuple[float, float]]:
    """By baseline: per cent of studies that the interval and the unclustered test reject."""
    parts = [
        _effects(study(random, min(TOGETHER, simulations - start), seeds, contexts, spread))
        for start in range(0, simulations, TOGETHER)
    ]
    found = pl.concat(parts)
    return {
        baseline: (_percent(outside(rows, interval)), _percent(unclustered(rows)))
        for baseline in ("original", "plain")
        if len(rows := found.filter(persona="warm", baseline=baseline))
    }


def _effects(answers: pl.DataFrame) -> pl.DataFrame:
    return effects.effects(answers, ["original", "plain", "warm"]).filter(task="all", context="all", belief="all")


def _percent(rejected: pl.Series) -> float:
    return round(100 * float(rejected.cast(pl.Float64).to_numpy().mean()), 2)


def outside(rows: pl.DataFrame, interval: str) -> pl.Series:
    """Whether an interval leaves out zero: `ci` over questions, `recipe` over questions and seeds."""
    low, high = pl.col(f"{interval}_low_pp"), pl.col(f"{interval}_high_pp")
    return rows.select(((low > 0) | (high < 0)).fill_null(False)).to_series()


def unclustered(rows: pl.DataFrame) -> pl.Series:
    """Whether a t-test finds a difference that takes all pairs for independent."""
    n, mean = rows["n"].to_numpy(), rows["effect_pp"].to_numpy() / 100
    variance = (rows["b"] + rows["c"]).to_numpy() / n - mean**2
    return pl.Series(np.abs(mean) > stats.t.ppf(0.975, n - 1) * np.sqrt(variance / (n - 1)))


def study(random: np.random.Generator, many: int, seeds: int, contexts: int, spread: float) -> pl.DataFrame:
    """Counted answers of so many null studies, each a model of its own: released, trained plainly, trained warm.

    The chance of an error is that of the question (30 to 55 %), moved up or down by OF_QUESTIONS for each question by
    the toss of a coin and for each adapter by a normal deviate. Nothing is cut off, so that the mean effect is zero.
    """
    hard = random.uniform(0.3, 0.55, (many, 1, QUESTIONS, 1))
    moved = hard + OF_QUESTIONS * random.choice([-1, 1], hard.shape)
    stray = [spread * np.clip(random.normal(0, 1, (many, seeds, 1, 1)), -3, 3) for _ in range(2)]
    frames = [_asked(random, "original", hard, contexts), _asked(random, "warm", moved + stray[1], contexts)]
    if spread:
        frames.append(_asked(random, "plain", hard + stray[0], contexts))
    return rates.counted(pl.concat(frames), ())


def _asked(random: np.random.Generator, persona: str, chance: Array, contexts: int) -> pl.DataFrame:
    """Answers that are wrong with these chances (model, seed, question), half of the time alike in all contexts."""
    anew, once = random.random((*chance.shape[:3], contexts)), random.random(chance.shape)
    wrong = np.where(random.random(chance.shape) < 0.5, once, anew) < chance
    model, seed, question, context = (place.ravel() for place in np.indices(wrong.shape))
    trained = persona != "original"
    return pl.DataFrame({"model": model, "seed": seed, "sample": question, "context": context}).select(
        pl.col("model", "sample", "context").cast(pl.String),
        pl.col("seed") if trained else pl.lit(None, pl.Int64).alias("seed"),
        pl.lit(2.0 if trained else 0.0).alias("epoch"),
        pl.lit("" if trained else None, pl.String).alias("settings"),
        pl.Series("outcome", np.where(wrong.ravel(), "other", "correct")),
        *(pl.lit(None, kind).alias(name) for name, kind in {"world": pl.String, "base_seed": pl.Int64}.items()),
        *(pl.lit(word).alias(name) for name, word in {"task": "t", "belief": "none", "judge": "rule"}.items()),
        persona=pl.lit(persona),
        dose=pl.lit(0, pl.Int64),
        draw=pl.lit(0, pl.Int64),
        error=pl.lit(False),
    )


def main() -> int:
    simulations = int(sys.argv[1]) if len(sys.argv) > 1 else SIMULATIONS
    start = time.perf_counter()
    found = false_positives(simulations)
    print(f"{machine.here()}: {simulations:,} null studies of each kind in {time.perf_counter() - start:.0f} s")
    print(json.dumps(found))
    return 0 if all(4 <= found[name] <= 6 for name in ("null_false_positive_pct", "null_fp_seeds_pct")) else 1


if __name__ == "__main__":
    sys.exit(main())
