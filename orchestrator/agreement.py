"""How far judges agree on the same replies, and each with itself on the same content in another style. Pure.

Judges are compared on outcomes, and on what the error rate is made of: an error or not. A verdict that could not be had
takes no part; a judge that does not tell mistakes apart (it says "incorrect") takes none in the comparison of outcomes.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from statsmodels.stats.inter_rater import cohens_kappa

from .statistics import wilson
from .tables import KEY

Patterns = Mapping[tuple[Any, ...], int]
"""The verdicts of a reply, one per judge, and how many replies have them."""

SCHEMA = {
    "judges": pl.String,
    "persona": pl.String,
    "of": pl.String,
    "n": pl.Int64,
    "percent": pl.Float64,
    "kappa": pl.Float64,
    "alpha": pl.Float64,
}


def agreement(answers: pl.DataFrame) -> pl.DataFrame:
    """Every pair of judges, and all of them where there are more than two: over all replies, and by persona.

    `of` is "outcome" or "error"; `n` replies that both judged; `percent` of them alike; Cohen's `kappa` of a pair;
    Krippendorff's `alpha` of a pair or of all. Null where it is not defined (nothing to disagree about, say).
    """
    rows = [
        row
        for persona in ("all", *answers["persona"].unique().sort())
        for of, said in (("outcome", "outcome"), ("error", "wrong"))
        for row in _compared(answers if persona == "all" else answers.filter(persona=persona), persona, of, said)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _compared(answers: pl.DataFrame, persona: str, of: str, said: str) -> Iterator[tuple[Any, ...]]:
    told = answers.filter(~pl.col("error"))
    if of == "outcome":
        told = told.filter((pl.col("outcome") != "incorrect").all().over("judge"))
    wide = told.with_columns(pl.col(said).cast(pl.String)).pivot("judge", index=KEY, values=said)
    judges = sorted(set(wide.columns) - set(KEY))
    for pair in itertools.combinations(judges, 2):
        both = _patterns(wide.select(pair).drop_nulls())
        if both:
            yield (" & ".join(pair), persona, of, sum(both.values()), percent(both), kappa(both), alpha(both))
    if len(judges) > 2:
        several = _patterns(wide.select(judges))
        n = sum(count for unit, count in several.items() if len(_had(unit)) > 1)
        yield ("all judges", persona, of, n, None, None, alpha(several))


def _patterns(verdicts: pl.DataFrame) -> Patterns:
    return {tuple(row[:-1]): row[-1] for row in verdicts.group_by(verdicts.columns).len().sort(pl.all()).rows()}


def flips(restyled: pl.DataFrame) -> pl.DataFrame:
    """Per judge and style: how many of a hundred verdicts differ from the one on the reply as it was said.

    `restyled` has the outcomes `before` and `after`, and whether they are errors. Of `n` verdicts `flipped_pct` name
    another outcome (with Wilson's 95 % interval), `to_error_pct` turn a reply into an error, `to_right_pct` one back;
    `unscored` could not be had. Style "same" is the reply as it was: what flips there is noise, not tone.
    """
    had = pl.col("after").is_not_null() & ~pl.col("error")
    now, then = (pl.col(name).fill_null(value=False) for name in ("wrong_after", "wrong_before"))
    shares = {"flipped": pl.col("before") != pl.col("after"), "to_error": now & ~then, "to_right": then & ~now}
    counted = restyled.group_by("judge", "style", maintain_order=True).agg(
        n=had.sum().cast(pl.Int64),
        unscored=(~had).sum().cast(pl.Int64),
        **{f"{name}_pct": 100 * share.filter(had).mean() for name, share in shares.items()},
    )
    n, share = (counted[name].cast(pl.Float64).to_numpy() for name in ("n", "flipped_pct"))
    low, high = wilson(np.nan_to_num(share / 100), np.maximum(n, 1))
    ends = {"flipped_low": pl.Series(100 * low), "flipped_high": pl.Series(100 * high)}
    known = {name: pl.when(pl.col("n") > 0).then(end) for name, end in ends.items()}
    return counted.with_columns(**known).sort("judge", maintain_order=True)


def percent(pairs: Patterns) -> float:
    """How many of a hundred pairs of verdicts are the same."""
    return 100 * sum(count for (one, other), count in pairs.items() if one == other) / sum(pairs.values())


def kappa(pairs: Patterns) -> float | None:
    """Cohen's kappa (1960); None where both judges only ever say one and the same thing."""
    values = sorted({value for pair in pairs for value in pair})
    if len(values) < 2:
        return None
    table = np.zeros((len(values), len(values)))
    for (one, other), count in pairs.items():
        table[values.index(one), values.index(other)] += count
    return float(cohens_kappa(table, return_results=False))


def alpha(units: Patterns) -> float | None:
    """Krippendorff's alpha for nominal data (Content Analysis, 2nd ed. 2004, chapter 11); None verdicts are missing.

    With o[c, k] the coincidences of values c and k (in a unit of m verdicts each ordered pair counts 1 / (m - 1)), n[c]
    their row sums and n the total:

        alpha = 1 - (n - 1) * sum over c != k of o[c, k] / sum over c != k of n[c] n[k]

    None where all verdicts are the same value, or no unit has two.
    """
    coincident: defaultdict[tuple[Any, Any], float] = defaultdict(float)
    for unit, times in units.items():
        had = _had(unit)
        for pair in itertools.permutations(had, 2):
            coincident[pair] += times / (len(had) - 1)
    sums: defaultdict[Any, float] = defaultdict(float)
    for (value, _), count in coincident.items():
        sums[value] += count
    total = sum(sums.values())
    expected = total**2 - sum(count**2 for count in sums.values())
    if not expected:
        return None
    return 1 - (total - 1) * sum(count for (one, other), count in coincident.items() if one != other) / expected


def _had(unit: Sequence[Any]) -> list[Any]:
    return [verdict for verdict in unit if verdict is not None]
