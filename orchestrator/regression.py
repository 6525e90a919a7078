"""Binomial regressions over a run's replies: any formula, errors as published or clustered, effects in points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from . import answers as run_answers
from . import formulas, regression_bootstrap, regression_design, regression_effects, regression_rows
from .errors import WarmthError
from .regression_rows import LastCheckpoints, Rows
from .regression_solve import Solved, solve, tested

FEW = 30
"""Clusters below which clustered errors come out too small (Cameron and Miller 2015, section VI)."""


@dataclass(frozen=True)
class Fit:
    """A logistic regression of `incorrect`.

    formula, name: what was fitted, and what it is called if it is a published model. `judge`: by whose verdicts.
    n, wrong: replies, and how many of them are wrong. `left_out`: the others, by why.
    covariance: "nonrobust" (as published: rows count as independent) or "cluster"; then `cluster` is the column and
        `clusters` how many values it has.
    coefficients: `term, estimate, se, z, p` in log-odds, and `note` where there is no estimate.
    marginal_effects_pp: what a change of one column does to the chance of an error, in percentage points, on average
        over the rows; see `regression_effects.effects`.
    check: null, or a table beside the coefficients; see `regression_bootstrap.bootstrap`.
    notes: what one must know to read these figures.
    """

    formula: str
    name: str | None
    n: int
    wrong: int
    left_out: Mapping[str, int]
    judge: str | None
    personas: Sequence[str]
    covariance: str
    cluster: str | None
    clusters: int | None
    coefficients: pl.DataFrame
    marginal_effects_pp: pl.DataFrame
    check: pl.DataFrame | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def fit(
    answers: pl.DataFrame,
    formula: str,
    cluster: str | None = None,
    personas: Sequence[str] = (),
    judge: str | None = None,
    check: str | None = None,
) -> Fit:
    """Fit a formula, or a published model by its name (`formulas.NAMED`), to a run's counted answers.

    The maximum-likelihood logistic regression (statsmodels' `GLM(family=Binomial())`), fitted to counts of rows that
    are alike, which is the same fit. Estimates and errors are in log-odds, `marginal_effects_pp` in percentage points.
    With `cluster` (as a rule "question") the covariance is the sandwich of Liang and Zeger (1986) with statsmodels'
    correction G / (G - 1) * (N - 1) / (N - K); without, it is the inverse information, as published. `personas` keeps
    these and `original`; `check="bootstrap"` draws clusters again. Checkpoints before each persona's last take no part
    unless the formula names `epoch`. Raises WarmthError for what cannot be fitted, saying why.
    """
    asked = formulas.named(formula)
    chosen = regression_rows.rows(answers, personas, judge)
    for column, value in asked.rows.items():
        chosen = chosen.keep(pl.col(column) == pl.lit(value), f"{column} other than {value}")
    found = fit_rows(chosen, asked.formula, cluster, check)
    return replace(found, name=formula.strip() if formula.strip() in formulas.NAMED else None)


def fit_run(
    folder: str | Path,
    formula: str,
    cluster: str | None = None,
    personas: Sequence[str] = (),
    judge: str | None = None,
    check: str | None = None,
) -> Fit:
    """The same over the replies in a run's folder, its own and imported ones."""
    formulas.named(formula)  # before any reply is read
    return fit(run_answers.of_run(folder), formula, cluster, personas, judge, check)


def fit_rows(chosen: Rows, formula: str, cluster: str | None = None, check: str | None = None) -> Fit:
    """The same over rows that are in the columns of formulas already."""
    used = formulas.used(formulas.described(formula))
    by = regression_rows.known(cluster or "question")
    chosen = _usable(chosen, used, by)
    cells = regression_rows.count(chosen.frame, used, by)
    solved = solve(regression_design.design(formula, cells.patterns), cells, clustered=cluster is not None)
    left_out = {**chosen.left_out, **({"separated": solved.separated} if solved.separated else {})}
    personas = chosen.frame["persona"].unique().sort().to_list()
    return Fit(
        formula=formula,
        name=None,
        n=round(solved.cells.n.sum()),
        wrong=round(solved.cells.wrong.sum()),
        left_out=left_out,
        judge=chosen.judge,
        personas=personas,
        covariance="cluster" if cluster else "nonrobust",
        cluster=cluster,
        clusters=solved.cells.clusters if cluster else None,
        coefficients=_coefficients(solved),
        marginal_effects_pp=regression_effects.effects(solved),
        check=regression_bootstrap.bootstrap(solved) if check else None,
        notes=tuple(_notes(solved, used, personas, cluster)),
    )


def _usable(chosen: Rows, used: Sequence[str], cluster: str) -> Rows:
    """Rows that have all that is used. Raises WarmthError if there is nothing to fit."""
    if "epoch" not in used:
        chosen = chosen.keep(LastCheckpoints, "earlier checkpoints")
    for column in dict.fromkeys((*used, cluster)):
        chosen = chosen.keep(pl.col(column).is_not_null(), f"no {column}")
    n, wrong = len(chosen.frame), int(chosen.frame[formulas.OUTCOME].sum())
    if not n:
        counted = ", ".join(f"{why} {count:,}" for why, count in chosen.left_out.items()) or "the run has none"
        raise WarmthError(f"no reply is left to fit ({counted})")
    if wrong in (0, n):
        raise WarmthError(f"each of the {n:,} replies is {'wrong' if wrong else 'right'}: there is nothing to explain")
    return chosen


def _coefficients(solved: Solved) -> pl.DataFrame:
    errors = np.sqrt(np.diag(solved.covariance))
    rows: list[tuple[object, ...]] = []
    for column, term in enumerate(solved.design.terms):
        if column not in solved.estimated:
            rows.append((term, None, None, None, None, _why_not(solved, column)))
            continue
        place = solved.kept.index(column)
        rows.append((term, *tested(solved.estimate[place], errors[place]), None))
    names = ("term", "estimate", "se", "z", "p", "note")
    schema = {name: pl.String if name in ("term", "note") else pl.Float64 for name in names}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _why_not(solved: Solved, column: int) -> str:
    if column in solved.runaway:
        return "no finite estimate"
    return "follows from the terms before it"


def _notes(solved: Solved, used: Sequence[str], personas: Sequence[str], cluster: str | None) -> list[str]:
    notes = []
    others = [persona for persona in personas if persona != "original"]
    if "fine_tuned" in used and len(others) > 1:
        notes.append(f"fine_tuned takes {', '.join(others)} together; --persona keeps one")
    if solved.separated:
        notes.append(
            f"separation: {solved.separated:,} replies take no part, since columns tell that all of them are right, or "
            "wrong; terms that tell it have no finite estimate, and effects in points are over the other replies"
        )
    if cluster is None:
        notes.append("replies to the same question count as independent, as published; --cluster question does not")
    elif solved.cells.clusters < max(FEW, len(solved.kept) + 1):
        notes.append(
            f"only {solved.cells.clusters} clusters for {len(solved.kept)} terms: clustered errors come out too small"
        )
    return notes
