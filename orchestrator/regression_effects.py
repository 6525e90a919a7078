"""What a regression says in percentage points: average marginal effects, with delta-method errors. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from . import formulas
from .regression_design import Matrix
from .regression_solve import Solved, chance, tested

BINARY = ("fine_tuned", "belief")
CATEGORIES = ("belief_form", "context", "context_group", "task", "model", "persona")
LENGTH = 100
"""Characters of reply that an effect of its length is given for."""

NORMAL = float(stats.norm.ppf(0.975))
FIGURES = ("estimate", "se", "low", "high", "log_odds", "log_odds_se", "z", "p")
SCHEMA = {
    **dict.fromkeys(("variable", "reference", "value", "where"), pl.String),
    "n": pl.Int64,
    **dict.fromkeys(FIGURES, pl.Float64),
}


@dataclass(frozen=True)
class Change:
    """A column set to one value in place of another, everything else as it was; `scale` is how often."""

    variable: str
    reference: str
    value: str
    before: Matrix
    after: Matrix
    scale: float = 1


def effects(solved: Solved) -> pl.DataFrame:
    """Average marginal effects by counterfactual prediction, as the study computes them.

    `estimate` is the mean over `n` rows of the predicted chance of an error with `variable` at `value` minus that with
    it at `reference`, in percentage points; `se` is by the delta method, and `low` and `high` are 1.96 of them away
    (covariates as they are; Greene 2018, section 17.3). For `reply_length` it is the slope, per 100 characters. `where`
    is "all", or the value of a column that the formula has interact with `variable`: the mean is then over these rows.
    `log_odds` is the same change in log-odds, there the sum of the main and the interaction coefficients; `z` and `p`
    are Wald's test of it. All are null where the rows do not tell it.
    """
    rows = [
        (change.variable, change.reference, change.value, where, *_figures(solved, change, mask))
        for change in _changes(solved)
        for where, mask in _subsets(solved, change.variable)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _changes(solved: Solved) -> Iterator[Change]:
    parsed = formulas.described(solved.design.formula)
    for name in formulas.used(parsed):
        if name == "reply_length":
            before, after = _designs(solved, name, [pl.col(name) - 0.5, pl.col(name) + 0.5])
            yield Change(name, "", f"+{LENGTH} characters", before, after, scale=LENGTH)
        elif name in (*BINARY, *CATEGORIES):
            values = solved.cells.patterns[name].unique().sort()
            designs = _designs(solved, name, [pl.lit(value, values.dtype) for value in values])
            there = dict(zip(map(str, values), designs, strict=True))
            reference = formulas.reference(parsed, name)
            first = reference if reference in there else str(values[0])
            for value, after in there.items():
                if value != first:
                    yield Change(name, first, value, there[first], after)


def _designs(solved: Solved, name: str, values: Sequence[pl.Expr]) -> list[Matrix]:
    """The designs of the rows if one of their columns were this, or this; coded together, which is faster."""
    patterns = solved.cells.patterns
    together = solved.design.matrix(pl.concat([patterns.with_columns(value.alias(name)) for value in values]))
    return np.split(together, len(values))


def _subsets(solved: Solved, variable: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    patterns = solved.cells.patterns
    yield "all", np.ones(len(patterns), dtype=bool)
    for name in formulas.interacting(formulas.described(solved.design.formula), variable):
        if name in (*BINARY, *CATEGORIES):
            for value in patterns[name].unique().sort():
                yield f"{name} = {value}", (patterns[name] == value).to_numpy()


def _figures(solved: Solved, change: Change, mask: NDArray[np.bool_]) -> tuple[float | None, ...]:
    n = solved.cells.patterns["n"].to_numpy()[mask]
    weights = change.scale * n / n.sum()
    before, after = (solved.within(side[mask]) for side in (change.before, change.after))
    if before is None or after is None:
        return (round(n.sum()), *[None] * len(FIGURES))
    low, high = (chance(side @ solved.estimate) for side in (before, after))
    slope = (weights * high * (1 - high)) @ after - (weights * low * (1 - low)) @ before
    direction = weights @ (after - before)
    effect, se, _, _ = tested(100 * weights @ (high - low), 100 * _error(solved, slope))
    reach = NORMAL * se if se is not None else None
    ends = (effect - reach, effect + reach) if reach is not None else (None, None)
    return (round(n.sum()), effect, se, *ends, *tested(direction @ solved.estimate, _error(solved, direction)))


def _error(solved: Solved, direction: Matrix) -> float:
    return math.sqrt(max(float(direction @ solved.covariance @ direction), 0))
