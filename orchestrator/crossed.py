"""How sure a mean is whose values belong to questions and to training seeds at once. Pure.

A value belongs to a question that every seed was asked, and to a seed that was asked every question. With Q questions,
S seeds, N values, and T_q, T_s, T_qs the sums of a question's, of a seed's, and of one seed's values of one question
(n_q, n_s, n_qs of them; m = sum / N is the mean):

    question part   B = Q / (Q - 1) sum_q (T_q - n_q m)^2 / N^2
    seed part       A = S / (S - 1) sum_s (T_s - n_s m)^2 / N^2
    residual part   E = (S / (S - 1) sum_qs (T_qs - n_qs T_q / n_q)^2 / N^2 - k A) / (1 - k),   k = sum_q n_q^2 / N^2

Where nothing is missing these are the mean squares of the crossed analysis of variance over N (Searle, Casella and
McCulloch 1992, section 4.3); A + B - E is the two-way clustered variance (Cameron, Gelbach and Miller 2011).

What all seeds share, as the replies of a baseline that is not trained, belongs to the questions.

    these adapters   other questions of this kind          m -+ t(Q - 1) sqrt(B)
    this recipe      other questions and other seeds       m -+ c sqrt(V),   V = A + max(0, B - E)

c lies between t(Q - 1) and t(S - 1) by the seeds' share A / V of the variance (`quantiles.weighed`). Of a t quantile
with the degrees of freedom of Satterthwaite (1946), 7 to 8 % of true nulls would be rejected where three seeds differ
more than questions do; `benchmarks/nulls.py` shows what is.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from . import quantiles
from .statistics import CONFIDENCE

Array = NDArray[np.float64]

SMALL = 1e-12
"""A sum of squares is taken for zero below this share of the squares that it is the difference of."""


def sums(rows: pl.DataFrame, by: Sequence[str], values: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the parts of variance are made of: per group and question, and per group and seed.

    `rows` has one row per group, `question` and `seed`: `n` values, and the sum of each of `values`. Both results add
    up over groups whose questions are different ones.
    """
    n = pl.col("n").cast(pl.Float64)
    per_question = rows.group_by(*by, "question").agg(
        n.sum(),
        n.pow(2).sum().alias("nn"),
        *(
            part.alias(f"{value}{name}")
            for value in values
            for name, part in (
                ("", pl.col(value).cast(pl.Float64).sum()),
                ("_tt", pl.col(value).cast(pl.Float64).pow(2).sum()),
                ("_nt", (pl.col(value) * n).sum()),
            )
        ),
    )
    over_questions = per_question.group_by(by).agg(
        pl.col("n").sum().cast(pl.Int64),
        (pl.col("n") > 0).sum().alias("n_questions"),
        pl.col("n").pow(2).sum().alias("nn"),
        *(part.alias(f"{value}{name}") for value in values for name, part in _of_questions(value).items()),
    )
    asked = pl.col("seed").is_not_null() & (pl.col("n") > 0)
    per_seed = rows.filter(asked).group_by(*by, "seed").agg(n.sum(), *(pl.col(value).sum() for value in values))
    return over_questions, per_seed


def _of_questions(value: str) -> dict[str, pl.Expr]:
    total, n = pl.col(value), pl.col("n")
    mean = pl.when(n > 0).then(total / n).otherwise(0)
    return {
        "": total.sum(),
        "_qq": total.pow(2).sum(),
        "_nq": (total * n).sum(),
        "_within": (pl.col(f"{value}_tt") - 2 * mean * pl.col(f"{value}_nt") + mean.pow(2) * pl.col("nn")).sum(),
        "_up": (total > 0).sum(),
        "_down": (total < 0).sum(),
    }


def over_seeds(per_seed: pl.DataFrame, by: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """Sums over the seeds of each group."""
    n = pl.col("n")
    return per_seed.group_by(by).agg(
        pl.len().alias("n_seeds"),
        n.pow(2).sum().alias("ss"),
        *(pl.col(value).pow(2).sum().alias(f"{value}_ss") for value in values),
        *((pl.col(value) * n).sum().alias(f"{value}_ns") for value in values),
    )


def parts(value: str) -> dict[str, pl.Expr]:
    """The mean of a value, and the question, seed and residual part of its variance; null where there is none.

    Of rows that `sums` (over questions) and `over_seeds` made. A part is null with fewer than two questions or seeds.
    """
    n, questions, seeds = (pl.col(name).cast(pl.Float64) for name in ("n", "n_questions", "n_seeds"))
    mean = pl.when(n > 0).then(pl.col(value) / n)
    spread = {
        "question": _squares(mean, *(pl.col(name) for name in (f"{value}_qq", f"{value}_nq", "nn"))),
        "seed": _squares(mean, *(pl.col(name) for name in (f"{value}_ss", f"{value}_ns", "ss"))),
    }
    question = pl.when(questions > 1).then(questions / (questions - 1) * spread["question"] / n.pow(2))
    seed = pl.when((seeds > 1) & (questions > 1)).then(seeds / (seeds - 1) * spread["seed"] / n.pow(2))
    within = seeds / (seeds - 1) * pl.col(f"{value}_within") / n.pow(2)
    share = pl.col("nn") / n.pow(2)
    residual = ((within - share * seed) / (1 - share)).clip(lower_bound=0)
    return {"mean": mean, "question": question, "seed": seed, "residual": residual}


def _squares(mean: pl.Expr, squares: pl.Expr, products: pl.Expr, sizes: pl.Expr) -> pl.Expr:
    """Squared deviations from the mean, zero where they are only what rounding left."""
    found = squares - 2 * mean * products + mean.pow(2) * sizes
    return pl.when(found > SMALL * squares).then(found).otherwise(0)


def intervals(groups: pl.DataFrame, value: str, confidence: float = CONFIDENCE) -> pl.DataFrame:
    """`mean`, `low`, `high` (these adapters) and `recipe_low`, `recipe_high` (this recipe) of a value, in its unit.

    Null where nothing can be said: with fewer than two questions, for the recipe with fewer than two seeds, and where
    the values do not vary, since then nothing tells how far another sample would have strayed. With few seeds that
    happen to agree the recipe's interval may come out narrower than the adapters'.
    """
    found = groups.select("n_questions", "n_seeds", **parts(value))
    mean, question, seed, residual = (found[name].to_numpy() for name in ("mean", "question", "seed", "residual"))
    few, many = (_quantile(found[name], confidence) for name in ("n_seeds", "n_questions"))
    of_adapters = many * np.sqrt(_positive(question))
    variance = _positive(seed + np.maximum(question - residual, 0))
    of_recipe = quantiles.weighed(many, few, seed / variance, found["n_seeds"].to_numpy()) * np.sqrt(variance)
    ends = {"low": -of_adapters, "high": of_adapters, "recipe_low": -of_recipe, "recipe_high": of_recipe}
    told = pl.DataFrame({"mean": mean, **{name: mean + end for name, end in ends.items()}})
    return told.with_columns(pl.all().fill_nan(None))


def _quantile(clusters: pl.Series, confidence: float) -> Array:
    freedom = clusters.cast(pl.Float64).to_numpy() - 1
    quantile: Array = stats.t.ppf((1 + confidence) / 2, np.where(freedom > 0, freedom, np.nan))
    return quantile


def _positive(variance: Array) -> Array:
    return np.where(variance > 0, variance, np.nan)
