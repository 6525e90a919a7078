"""How sure a figure is: intervals of means whose rows belong together, of shares, and of a few bases. Pure."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95


def mean_by_question(rows: pl.DataFrame, by: Sequence[str], question: str, values: Sequence[str]) -> pl.DataFrame:
    """Means of row-level values with intervals that count questions, not rows, as the independent things.

    This is the least-squares fit of `value ~ 1` with errors clustered by question: statsmodels'
    `OLS(d, ones).fit(cov_type="cluster", use_t=True)`, for all groups at once. With S_g and n_g the sum and the number
    of a question's values, G questions and N values:

        mean = sum S_g / N,   se^2 = G / (G - 1) * sum (S_g - n_g mean)^2 / N^2,   interval = mean -+ t(G - 1) se

    (Liang and Zeger 1986; Cameron and Miller 2015, section II.B, with their finite-sample correction.)
    Asking the same questions of twice the seeds therefore narrows nothing by itself.

    Gives one row per group of `by`: `n` values, `n_questions`, and for each value `v`: `v`, `v_low`, `v_high`, in its
    own unit. A null value takes no part; where one of `values` is null in a row, all must be. The interval is null with
    fewer than two questions, and where the questions' sums do not vary (every value the same, say): nothing can then be
    said of how far another sample of questions would have strayed.
    """
    return means_of_sums(sums_by_question(rows, [*by, question], values), by, values)


def sums_by_question(rows: pl.DataFrame, by: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """Each question's number of values, `n`, and their sums; a question is told apart by the last of `by`."""
    counted = pl.col(values[0]).count().cast(pl.Int64).alias("n")
    return rows.group_by(by).agg(counted, *(pl.col(value).sum() for value in values))


def means_of_sums(sums: pl.DataFrame, by: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """`mean_by_question`, of the sums of each question."""
    groups = sums.group_by(by).agg(
        pl.col("n").sum(),
        (pl.col("n") > 0).sum().alias("n_questions"),
        *(_mean(value) for value in values),
        *(_spread(value).alias(f"{value}_error") for value in values),
    )
    return with_t_intervals(groups, values, "n_questions")


def _mean(value: str) -> pl.Expr:
    return pl.when(pl.col("n").sum() > 0).then(pl.col(value).sum() / pl.col("n").sum())


def _spread(value: str) -> pl.Expr:
    """The clustered standard error; null where there is none."""
    total, questions = pl.col("n").sum(), (pl.col("n") > 0).sum()
    squares = ((pl.col(value) - pl.col("n") * (pl.col(value).sum() / total)) ** 2).sum()
    varies = (questions > 1) & (squares > 1e-12 * total)
    return pl.when(varies).then((questions / (questions - 1) * squares).sqrt() / total)


def with_t_intervals(groups: pl.DataFrame, values: Sequence[str], clusters: str) -> pl.DataFrame:
    """Turn standard errors `v_error` into `v_low` and `v_high`, by Student's t with `clusters` - 1 degrees."""
    freedom = groups[clusters].cast(pl.Float64).to_numpy() - 1
    quantile = pl.Series("quantile", stats.t.ppf((1 + CONFIDENCE) / 2, np.where(freedom > 0, freedom, np.nan)))
    ends = [
        (pl.col(value) + sign * pl.col(f"{value}_error") * quantile).alias(f"{value}_{end}")
        for value in values
        for sign, end in ((-1, "low"), (1, "high"))
    ]
    return groups.with_columns(ends).drop([f"{value}_error" for value in values])


def rank_correlation(rows: pl.DataFrame, one: str, other: str) -> float | None:
    """Spearman's, over the rows that have both; null for fewer than three, or where one of them does not vary."""
    both = rows.select(one, other).drop_nulls()
    if len(both) < 3 or both[one].n_unique() == 1 or both[other].n_unique() == 1:
        return None
    return float(stats.spearmanr(both[one].to_numpy(), both[other].to_numpy()).statistic)


def wilson(share: NDArray[np.float64], n: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's interval of shares (0 to 1) out of `n`, which need not be whole numbers; NaN where `n` is 0."""
    low, high = proportion_confint(share * n, n, 1 - CONFIDENCE, method="wilson") if len(n) else (share, share)
    return np.asarray(low), np.asarray(high)


def effective_number(
    share: NDArray[np.float64], half_width: NDArray[np.float64], n: NDArray[np.float64], questions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How many independent replies `n` replies to `questions` questions are worth (n over Kish's design effect, 1965).

    `half_width` is the clustered interval's, NaN where it has none. Never more than `n`, never fewer than the
    questions; one reply per question is worth `n`; where all replies fell out alike, a question counts as one reply.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        error = half_width / stats.t.ppf((1 + CONFIDENCE) / 2, questions - 1)
        worth = share * (1 - share) / error**2 * questions / np.maximum(questions - 1, 1)
    return np.clip(np.where(np.isnan(worth), questions, worth), questions, n)


def mean_over_bases(effects: pl.DataFrame, by: Sequence[str], values: Sequence[str]) -> pl.DataFrame:
    """Means over bases with t-intervals over bases: every base counts once, however many questions it answered.

    Gives `n_bases`, and for each value `v`: `v`, `v_low`, `v_high` (null where the bases do not differ). Groups that
    fewer than two bases have are left out.
    """
    groups = (
        effects.group_by(*by, maintain_order=True)
        .agg(
            pl.col(values[0]).count().alias("n_bases"),
            *(pl.col(value).mean() for value in values),
            *((pl.col(value).std() / pl.col(value).count().sqrt()).alias(f"{value}_error") for value in values),
        )
        .filter(pl.col("n_bases") > 1)
    )
    halves = [
        pl.when(pl.col(f"{value}_error") > 1e-12).then(f"{value}_error").alias(f"{value}_error") for value in values
    ]
    return with_t_intervals(groups.with_columns(halves), values, "n_bases")
