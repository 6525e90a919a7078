"""A cheap judge's verdicts on all replies and a dear one's on a sample: does what they say together hold the truth?

    python benchmarks/economy.py [RUNS]      1000 if not given

Each run has 100 other questions, a model as released and a persona that errs 5 points more often, 20 under a mistaken
belief. The dear judge is right about every reply. The cheap one misses 40 % of the persona's errors and 5 % of the
others', so it is kind to the persona. A quarter of the replies is drawn, by `sampling.drawn`, and `combined.effects`
makes the differences; the truth is what other questions of this kind would show.

The last line is one JSON object: of the 95 % intervals those that hold the truth (coverage_pct, limits 93 to 97; and of
the cheap verdicts' own), the mean errors in points (bias_pp, with its standard error), and how wide the intervals are
against asking the dear judge about everything, with the share of replies that it was asked about.
"""

import json
import sys

import numpy as np
import polars as pl

from orchestrator import combined, rates, sampling
from orchestrator.settings_sampling import Sample
from orchestrator.tables import KEY

QUESTIONS, SHARE = 100, 0.25
BELIEFS = ("none", "asserts")
RATE = {"original": (0.2, 0.3), "warm": (0.25, 0.5)}
MISSES, INVENTS = {"original": 0.05, "warm": 0.4}, 0.03
TRUTH = {belief: 100 * (RATE["warm"][place] - RATE["original"][place]) for place, belief in enumerate(BELIEFS)}


def replies(random: np.random.Generator) -> pl.DataFrame:
    """One row per reply: whether it is an error, and whether the cheap judge says so."""
    hard, parts = random.uniform(-0.1, 0.1, QUESTIONS), []
    for persona, chances in RATE.items():
        moved = random.choice([-0.1, 0.1], QUESTIONS)
        for belief, rate in zip(BELIEFS, chances, strict=True):
            wrong = random.random(QUESTIONS) < rate + hard + moved  # never cut off at 0 or 1
            said = np.where(wrong, random.random(QUESTIONS) >= MISSES[persona], random.random(QUESTIONS) < INVENTS)
            columns = {"sample": [f"q{n}" for n in range(QUESTIONS)], "dear": wrong, "cheap": said}
            parts.append(pl.DataFrame(columns).with_columns(persona=pl.lit(persona), belief=pl.lit(belief)))
    return pl.concat(parts)


def answers(told: pl.DataFrame, how: Sample) -> pl.DataFrame:
    """What a run has on file: everything by the cheap judge, what is drawn by the dear one."""
    fixed = {"model": "m", "task": "t", "context": "neutral"}
    who = told.with_columns(
        *(pl.lit(value).alias(name) for name, value in fixed.items()),
        *(pl.lit(None, pl.String).alias(name) for name in ("world", "settings")),
        *(pl.lit(None, pl.Int64).alias(name) for name in ("base_seed", "seed")),
        subject="persona",
        epoch=pl.lit(0.0),
        dose=pl.lit(0, pl.Int64),
        draw=pl.lit(0, pl.Int64),
        error=pl.lit(False),
    )
    cheap, dear = (
        who.with_columns(judge=pl.lit(name), outcome=pl.when(name).then(pl.lit("other")).otherwise(pl.lit("correct")))
        for name in ("cheap", "dear")
    )
    some = dear.join(sampling.drawn(cheap, how), on=KEY).with_columns(sampled_from=pl.lit("cheap"))
    return rates.counted(pl.concat([cheap, some], how="diagonal"), ())


def held(found: pl.DataFrame, name: str) -> float:
    """How many of a hundred intervals hold the truth."""
    low, high, truth = (found[column].to_numpy() for column in (f"{name}_pp_low", f"{name}_pp_high", "truth"))
    return float(100 * np.mean((low <= truth) & (truth <= high)))


def width(found: pl.DataFrame) -> float:
    """The mean width of the combined intervals, in points."""
    return float(np.mean(found["combined_pp_high"].to_numpy() - found["combined_pp_low"].to_numpy()))


def main(runs: int) -> None:
    rows = []
    for run in range(runs):
        told = replies(np.random.default_rng(run))
        for share in (SHARE, 1.0):
            found = combined.effects(answers(told, Sample(share=share, seed=run)), list(RATE))
            shown = found.filter(pl.col("belief").is_in(BELIEFS)).with_columns(run=pl.lit(run), share=pl.lit(share))
            rows.append(shown.with_columns(truth=pl.col("belief").replace_strict(TRUTH)))
    every = pl.concat(rows)
    some, whole = every.filter(share=SHARE), every.filter(share=1.0)
    errors = ((pl.col(f"{name}_pp") - pl.col("truth")).mean().alias(name) for name in ("combined", "cheap"))
    off = {name: column.to_numpy() for name, column in some.group_by("run").agg(*errors).to_dict().items()}
    figures = {
        "runs": runs,
        "coverage_pct": held(some, "combined"),
        "sample_coverage_pct": held(some, "sample"),
        "cheap_coverage_pct": held(some, "cheap"),
        "bias_pp": off["combined"].mean(),
        "bias_se_pp": off["combined"].std() / np.sqrt(runs),
        "cheap_bias_pp": off["cheap"].mean(),
        "asked_share": some["asked"].to_numpy().sum() / whole["asked"].to_numpy().sum(),
        "width_ratio": width(some) / width(whole),
    }
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
