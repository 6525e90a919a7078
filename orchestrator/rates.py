"""How each subject did: which replies are errors, shares with intervals, mean warmth. Pure."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from tasks import MISTAKEN, OUTCOMES, is_error

from . import paired, statistics

SUBJECT = ["model", "world", "base_seed", "persona", "epoch", "dose", "settings"]
CONDITION = ["task", "context", "belief", "judge"]
SHARES = ("agrees", "other", "unreadable", "hedged")
"""Outcomes whose shares are shown beside that of errors."""


def counted(answers: pl.DataFrame, refusing_is_right: Sequence[str]) -> pl.DataFrame:
    """With `wrong` (an error or not, as `tasks.is_error` says) and `scored` (whether it takes part in error rates)."""
    right = pl.col("task").is_in(refusing_is_right)
    usual, lenient = ({outcome: is_error(outcome, right) for outcome in OUTCOMES} for right in (False, True))
    wrong = [pl.col("outcome").replace_strict(each, return_dtype=pl.Boolean) for each in (lenient, usual)]
    marked = answers.with_columns(wrong=pl.when(right).then(wrong[0]).otherwise(wrong[1]))
    return marked.with_columns(scored=pl.col("wrong").is_not_null() & ~pl.col("error"))


def rates(answers: pl.DataFrame) -> pl.DataFrame:
    """How each subject did in each condition and over conditions; see Findings."""
    shown = {"error": pl.col("wrong"), **{outcome: pl.col("outcome") == outcome for outcome in SHARES}}
    shares = [
        pl.when("scored").then(said.cast(pl.Float64) * 100).alias(f"{share}_pct") for share, said in shown.items()
    ]
    by, values = [*SUBJECT, *CONDITION], [f"{share}_pct" for share in shown]
    rows = answers.with_columns(*shares, question=paired.QUESTION.cast(pl.Categorical))
    keys = [*by, "question"]
    counts = rows.group_by(keys).agg(
        unscored=(~pl.col("scored")).sum().cast(pl.Int64),
        errors=pl.col("error").sum().cast(pl.Int64),
        refused=((pl.col("outcome") == "refused") & ~pl.col("error")).sum().cast(pl.Int64),
    )
    sums = statistics.sums_by_question(rows, keys, values).join(counts, on=keys, nulls_equal=True)
    sums = paired.with_aggregates(sums, keys, ("context", "belief"))
    sums = pl.concat([sums, sums.with_columns(task=pl.lit("all"))])
    seeds = answers.group_by(SUBJECT).agg(n_seeds=pl.col("seed").drop_nulls().n_unique())
    counts = (
        sums.group_by(by).agg(pl.col("unscored", "errors", "refused").sum()).join(seeds, on=SUBJECT, nulls_equal=True)
    )
    means = statistics.means_of_sums(sums, by, values)
    ends = [end for value in values for end in _wilson(means, value)]
    joined = means.with_columns(ends).join(counts, on=by, nulls_equal=True)
    return joined.select(
        *by,
        "n",
        "n_questions",
        "n_seeds",
        "unscored",
        "errors",
        "refused",
        *(f"{value}{end}" for value in values for end in ("", "_low", "_high")),
    ).sort(by)


def by_seed(answers: pl.DataFrame) -> pl.DataFrame:
    """The error of every adapter at its last epoch, by training seed, without a belief and with a mistaken one."""
    last = pl.col("epoch") == pl.col("epoch").max().over("model", "persona", "dose", "settings")
    rows = answers.filter(pl.col("seed").is_not_null() & last).with_columns(question=paired.QUESTION)
    told = pl.when("scored").then(pl.col("wrong").cast(pl.Float64) * 100)
    mistaken = rows.filter(pl.col("belief").is_in(MISTAKEN)).with_columns(belief=pl.lit(paired.BELIEFS))
    both = pl.concat([rows.filter(pl.col("belief") == "none"), mistaken]).with_columns(error_pct=told)
    by = [*SUBJECT, "seed", "belief", "judge"]
    return statistics.mean_by_question(both, by, "question", ["error_pct"]).sort(by)


def _wilson(means: pl.DataFrame, value: str) -> list[pl.Series]:
    """Bounded intervals of shares in per cent, in place of the symmetric ones."""
    n, questions = (means[name].cast(pl.Float64).to_numpy() for name in ("n", "n_questions"))
    mean, high = (means[name].cast(pl.Float64).to_numpy() / 100 for name in (value, f"{value}_high"))
    worth = statistics.effective_number(mean, high - mean, n, questions)
    asked = worth > 0
    ends = np.full((2, len(means)), np.nan)
    ends[:, asked] = statistics.wilson(mean[asked], worth[asked])
    low, high = np.clip(ends, 0, 1) * 100
    return [pl.Series(f"{value}_low", low).fill_nan(None), pl.Series(f"{value}_high", high).fill_nan(None)]


def mean_warmth(warmth: pl.DataFrame) -> pl.DataFrame:
    """Mean warmth per model, persona, epoch, dose and mode; see Findings."""
    by = ["mode", *SUBJECT]
    rows = warmth.with_columns(pl.col("warmth").cast(pl.Float64).fill_nan(None), question=paired.QUESTION)
    found = statistics.mean_by_question(rows, by, "question", ["warmth"])
    more = rows.group_by(by).agg(
        n_seeds=pl.col("seed").drop_nulls().n_unique(),
        warmth_sem=pl.col("warmth").std() / pl.col("warmth").count().sqrt(),
        rating=pl.col("rating").mean(),
        unrated=pl.col("rating").is_null().sum(),
    )
    return (
        found.join(more, on=by, nulls_equal=True)
        .select(
            *by, "n", "n_questions", "n_seeds", "warmth", "warmth_low", "warmth_high", "warmth_sem", "rating", "unrated"
        )
        .sort(by)
    )


def warmth_agreement(warmth: pl.DataFrame, means: pl.DataFrame) -> pl.DataFrame:
    """Per mode, the rank correlation of the metric with a model's ratings: over replies, and over subjects' means."""
    rows = [
        (
            mode,
            over,
            mine.select("warmth", "rating").drop_nulls().height,
            statistics.rank_correlation(mine, "warmth", "rating"),
        )
        for mode in means["mode"].unique().sort()
        for over, frame in (("replies", warmth), ("subjects", means))
        if (mine := frame.filter(mode=mode))["rating"].count()
    ]
    schema = {"mode": pl.String, "over": pl.String, "n": pl.Int64, "rho": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")
