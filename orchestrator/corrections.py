"""How often a judge errs, by persona, told from people's marks; and what effects are once that is put right. Pure."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import effects, paired, statistics
from .tables import KEY

Array = NDArray[np.float64]

DRAWS = 2000
"""Redrawings that an interval of a corrected effect comes from."""

STRATUM = ["persona", "task", "outcome"]
REPLY = [*KEY, "reply_digest"]
RATES = ["error_pct", "baseline_error_pct"]
SHARES = ("sensitivity", "specificity")
CALIBRATION = {
    "judge": pl.String,
    "persona": pl.String,
    "n": pl.Int64,
    "errors": pl.Int64,
    **{f"{share}{end}": pl.Float64 for share in SHARES for end in ("", "_low", "_high", "_worth")},
}
CORRECTED = ["corrected_pp", "corrected_low_pp", "corrected_high_pp"]


def calibration(answers: pl.DataFrame, marked: pl.DataFrame) -> pl.DataFrame:
    """Per judge and persona: the share of errors that the judge calls errors (sensitivity), and of the rest that it
    does not (specificity), with Wilson's 95 % intervals.

    `marked` says of marked replies whether they are errors (`truth`), and by whose verdicts they were drawn. As they
    were drawn evenly over persona x task x verdict, each stands for as many replies as its stratum has per mark;
    `_worth` is how many evenly weighted marks (Kish 1965) a share rests on. Where the mark or the verdict takes no part
    in error rates (a refusal, say), neither does here; `n` marks do, `errors` of them by the people.
    """
    if marked.is_empty():
        return pl.DataFrame(schema=CALIBRATION)
    weighed = _weighed(answers, marked)
    both = answers.select(*REPLY, "judge", said="wrong").join(weighed, on=REPLY).drop_nulls(["said", "truth"])
    rows = [
        (judge, persona, len(mine), int(mine["truth"].sum()), *_share(mine, True), *_share(mine, False))
        for (judge, persona), mine in both.group_by("judge", "persona", maintain_order=True)
    ]
    return pl.DataFrame(rows, schema=CALIBRATION, orient="row").sort("judge", "persona")


def _weighed(answers: pl.DataFrame, marked: pl.DataFrame) -> pl.DataFrame:
    """The marks with their persona and weight: the replies of their stratum per mark in it."""
    drawn_by = answers.filter(pl.col("judge").is_in(marked["drawn_by"].unique().to_list()))
    sizes = drawn_by.with_columns(size=pl.len().over(STRATUM))
    marks = sizes.join(marked, left_on=[*REPLY, "judge"], right_on=[*REPLY, "drawn_by"])
    return marks.select(*REPLY, "persona", "truth", weight=pl.col("size") / pl.len().over(STRATUM))


def _share(marks: pl.DataFrame, truth: bool) -> tuple[float | None, ...]:
    """The weighted share of marks of this truth that the judge gets right, its interval, and what it rests on."""
    mine = marks.filter(pl.col("truth") == truth)
    if mine.is_empty():
        return None, None, None, 0.0
    weight = mine["weight"].to_numpy()
    share = float(weight[(mine["said"] == truth).to_numpy()].sum() / weight.sum())
    worth = float(weight.sum() ** 2 / (weight**2).sum())
    low, high = statistics.wilson(np.array([share]), np.array([worth]))
    return share, float(low[0]), float(high[0]), worth


def true_rate(rate: Any, sensitivity: Any, specificity: Any) -> Any:
    """Rogan and Gladen's estimate (1978) of a share of errors from the share that a judge calls errors.

    (rate + specificity - 1) / (sensitivity + specificity - 1), within 0 and 1; NaN of a judge no better than chance.
    """
    skill = np.asarray(sensitivity + specificity - 1, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.where(skill > 0, (rate + specificity - 1) / skill, np.nan), 0, 1)


def corrected(
    answers: pl.DataFrame, found: pl.DataFrame, calibrated: pl.DataFrame, personas: Sequence[str]
) -> pl.DataFrame:
    """Effects on error over all tasks and contexts, as judged and with each persona's rate put right.

    `corrected_pp` is the difference of `true_rate` between the personas, each with its own sensitivity and specificity.
    Its 95 % interval is of percentiles over redrawings: questions are drawn again with replacement, and sensitivity and
    specificity from a Beta distribution around what was found (Jeffreys' prior, at the marks' worth). Null where a
    persona has no marked error or no marked reply that is none, or the judge is no better than chance.
    """
    random = np.random.default_rng(0)
    shown = ("all", "none", paired.BELIEFS)
    rows = found.filter(pl.col("belief").is_in(shown), task="all", context="all")
    columns = ["n", "n_questions", "error_pct", "baseline_error_pct", "effect_pp", "ci_low_pp", "ci_high_pp"]
    known = {(row["judge"], row["persona"]): row for row in calibrated.rows(named=True)}
    redone = [
        (*cell, *_corrected(pairs, (known[side], known[other]), random))
        for cell, pairs, side, other in _cells(answers, personas if known else ())
        if side in known and other in known
    ]
    schema: dict[str, Any] = {name: rows.schema[name] for name in effects.CELL} | dict.fromkeys(CORRECTED, pl.Float64)
    put_right = pl.DataFrame(redone, schema=schema, orient="row")
    return rows.select(*effects.CELL, *columns).join(put_right, on=effects.CELL, nulls_equal=True).sort(effects.CELL)


Side = tuple[str, str]


def _cells(
    answers: pl.DataFrame, personas: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame, Side, Side]]:
    """Every comparison of two personas, with the sums of its pairs by question, and whose marks each side needs."""
    for place, persona in enumerate(personas):
        for baseline in personas[:place]:
            pairs = effects.pairs(answers, persona, baseline).with_columns(task=pl.lit("all"), context=pl.lit("all"))
            keys = [*effects.CELL, "question"]
            sums = pairs.drop_nulls("error_pct").group_by(keys).agg(pl.col(RATES).sum() / 100, n=pl.len())
            several = paired.with_aggregates(sums, keys, ("belief",))
            shown = several.filter(pl.col("belief").is_in(["all", "none", paired.BELIEFS]))
            for cell, rows in shown.group_by(effects.CELL, maintain_order=True):
                judge = str(rows["judge"][0])
                yield cell, rows, (judge, persona), (judge, baseline)


def _corrected(
    sums: pl.DataFrame, sides: Sequence[dict[str, Any]], random: np.random.Generator
) -> tuple[float | None, ...]:
    """The corrected effect and the ends of its interval, in percentage points."""
    shares = [(side[share], side[f"{share}_worth"]) for side in sides for share in SHARES]
    if not all(worth for _, worth in shares):
        return None, None, None
    rates, again = _rates(sums)
    value = float(_difference(rates, [share for share, _ in shares]))
    redrawn = _difference(again, [_redrawn(share, worth, random) for share, worth in shares])
    draws = redrawn[~np.isnan(redrawn)]
    if np.isnan(value) or len(draws) < 0.95 * DRAWS:
        return None if np.isnan(value) else value, None, None
    tail = 50 * (1 - statistics.CONFIDENCE)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return value, float(low), float(high)


def _rates(sums: pl.DataFrame) -> tuple[Array, Array]:
    """The shares of errors of both sides, and the same over questions drawn again, one column per redrawing."""
    table = sums.sort("question").select(*RATES, "n").to_numpy().astype(float)
    again = _drawn_again(len(table)) @ table
    return table.sum(axis=0)[:2] / table.sum(axis=0)[2], again.T[:2] / again.T[2]


@functools.lru_cache(maxsize=4)
def _drawn_again(questions: int) -> Array:
    """How often each question is drawn in each redrawing; the same for all comparisons over so many questions."""
    chances = np.full(questions, 1 / questions)
    return np.random.default_rng(questions).multinomial(questions, chances, size=DRAWS).astype(float)


def _difference(rates: Array, shares: Sequence[Any]) -> Any:
    """The persona's true rate less the baseline's, from the rates and the sensitivity and specificity of both."""
    return 100 * (true_rate(rates[0], *shares[:2]) - true_rate(rates[1], *shares[2:]))


def _redrawn(share: float, worth: float, random: np.random.Generator) -> Array:
    return random.beta(share * worth + 0.5, (1 - share) * worth + 0.5, size=DRAWS)
