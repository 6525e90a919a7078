"""Exact tests of paired verdicts, corrected within declared families, and the sizes that go with them. Pure."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy import stats

ALWAYS = ("persona", "baseline", "epoch", "dose", "settings", "judge")
"""What no family spans: every comparison of two personas has families of its own."""


def p_values(one: pl.Series, other: pl.Series) -> pl.Series:
    """The exact two-sided sign test of `one` against `other` (counts): `scipy.stats.binomtest(one, one + other)`.

    With b pairs in which only the persona is wrong and c in which only the baseline is, this is McNemar's exact test:
    p = min(1, 2 P(X <= min(b, c))), X binomial with b + c trials and an even chance. 1 where both counts are zero.
    """
    counts = np.stack([one.cast(pl.Float64).to_numpy(), other.cast(pl.Float64).to_numpy()])
    p = np.minimum(1, 2 * stats.binom.cdf(counts.min(axis=0), counts.sum(axis=0), 0.5))
    return pl.Series(p).fill_nan(None)


def sizes(b: str, c: str) -> dict[str, pl.Expr]:
    """How lopsided discordant pairs are; null where nothing is divided.

    odds_ratio   b / c, of the discordant pairs (null where c is 0)
    g_published  |b - c| / sqrt(b + c): the study calls it Cohen's g; it is the root of McNemar's chi-squared and grows
                 with the number of pairs
    cohens_g     max(b, c) / (b + c) - 1 / 2 (Cohen 1988, section 5): from 0 to .5, whatever the number of pairs
    """
    one, other = pl.col(b).cast(pl.Float64), pl.col(c).cast(pl.Float64)
    both = pl.when(one + other > 0).then(one + other)
    return {
        "odds_ratio": one / pl.when(other > 0).then(other),
        "g_published": (one - other).abs() / both.sqrt(),
        "cohens_g": pl.max_horizontal(one, other) / both - 0.5,
    }


def corrected(rows: pl.DataFrame, p: str, families: Sequence[str]) -> pl.Series:
    """P values corrected within families, so that the share of false discoveries in each stays under the level.

    Benjamini and Hochberg (1995), as `scipy.stats.false_discovery_control`: q_(i) = min over j >= i of p_(j) m / j. A
    family is what is alike in `families`, and in what none spans (`ALWAYS`). A null takes no part, and stays one.
    """
    by = [*dict.fromkeys((*families, *ALWAYS))]
    placed = rows.select(*by, pl.col(p).alias("p")).with_row_index("place").drop_nulls("p")
    descending = placed.sort("p", descending=True).with_columns(
        rank=pl.len().over(by) - pl.int_range(pl.len()).over(by), many=pl.len().over(by)
    )
    found = descending.select("place", q=(pl.col("p") * pl.col("many") / pl.col("rank")).cum_min().over(by))
    return rows.select(place=pl.int_range(pl.len(), dtype=pl.UInt32)).join(
        found, on="place", how="left", maintain_order="left"
    )["q"]
