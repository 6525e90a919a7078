"""A logistic regression over counted rows: estimates, and how they vary. Pure."""

import warnings
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from scipy import sparse, stats

from . import regression_design
from .errors import WarmthError
from .regression_design import Design, Matrix
from .regression_rows import Cells

LEAST = 1e-9
"""Errors below it are rounding: nothing varied, so nothing is known of the error."""

FAR = 15.0
"""Log-odds beyond which a fit is looked into: nothing that replies show is that likely."""


@dataclass(frozen=True)
class Solved:
    """Estimates over counted rows. `kept` are the columns that were fitted, `estimated` those that mean something.

    `follows` says how the columns left out follow from those kept. `runaway` are the columns without a finite estimate,
    `separated` counts the replies that are left out for their sake.
    """

    design: Design
    cells: Cells
    matrix: Matrix
    kept: list[int]
    follows: Matrix
    estimated: list[int]
    runaway: list[int]
    estimate: Matrix
    covariance: Matrix
    separated: int

    def within(self, rows: Matrix) -> Matrix | None:
        """Rows of a design in the columns that were fitted; None if the fit does not say what it predicts for them."""
        others = [column for column in range(rows.shape[1]) if column not in self.kept]
        told = np.allclose(rows[:, others], rows[:, self.kept] @ self.follows, atol=1e-6)
        return rows[:, self.kept] if told else None


def solve(design: Design, cells: Cells, clustered: bool) -> Solved:
    """Estimates and their covariance; where values of the columns tell right from wrong, without those rows."""
    whole = design.matrix(cells.patterns)
    first = kept = regression_design.independent(whole)
    n, matrix = cells.n.sum(), whole
    while (found := _estimate(matrix[:, kept], cells)) is None:
        mask = ~regression_design.separated(matrix[:, kept], *_totals(cells))
        if mask.all():
            raise WarmthError(f"{design.formula}: the fit does not settle; try fewer terms")
        cells, matrix = cells.within(mask), matrix[mask]
        if not len(matrix) or cells.wrong.sum() in (0, cells.n.sum()):
            raise WarmthError(
                f"{design.formula}: these columns tell right from wrong without fail; no finite estimates"
            )
        kept = [first[column] for column in regression_design.independent(matrix[:, first])]
    estimate, information = found
    covariance = np.linalg.inv(information)
    if clustered:
        covariance = _sandwich(matrix[:, kept], cells, estimate, covariance)
    follows = regression_design.following(matrix, kept)
    estimated = _meaningful(matrix, first, kept)
    runaway = [column for column in first if column not in estimated]
    gone = round(n - cells.n.sum())
    return Solved(design, cells, matrix, kept, follows, estimated, runaway, estimate, covariance, gone)


def _estimate(matrix: Matrix, cells: Cells) -> tuple[Matrix, Matrix] | None:
    """Estimates and the information about them; None where the fit runs away."""
    n, wrong = _totals(cells)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of separation, which is told by where the fit went
        model = sm.GLM(np.column_stack([wrong, n - wrong]), matrix, family=sm.families.Binomial())
        try:
            found = model.fit(tol=1e-9)
        except (ValueError, np.linalg.LinAlgError):
            return None
    if not found.converged or np.abs(matrix @ found.params).max() > FAR:
        return None
    chance = found.fittedvalues
    return np.asarray(found.params), (matrix * (n * chance * (1 - chance))[:, None]).T @ matrix


def _totals(cells: Cells) -> tuple[Matrix, Matrix]:
    return cells.patterns["n"].to_numpy(), cells.patterns["wrong"].to_numpy()


def _sandwich(matrix: Matrix, cells: Cells, estimate: Matrix, bread: Matrix) -> Matrix:
    """Liang and Zeger's covariance: B (sum over clusters of s s') B, s being a cluster's sum of scores."""
    if cells.clusters < 2:
        raise WarmthError("all replies are of one cluster: errors within it say nothing; leave out --cluster")
    residual = cells.wrong - cells.n * chance(matrix @ estimate)[cells.pattern]
    sums = sparse.csr_array((residual, (cells.cluster, cells.pattern)), shape=(cells.clusters, len(matrix))) @ matrix
    n = cells.n.sum()
    correction = cells.clusters / (cells.clusters - 1) * (n - 1) / (n - matrix.shape[1])
    return np.asarray(bread @ (sums.T @ sums) @ bread * correction)


def chance(log_odds: Matrix) -> Matrix:
    """Log-odds as a probability."""
    return 1 / (1 + np.exp(-log_odds))


def _meaningful(matrix: Matrix, first: list[int], kept: list[int]) -> list[int]:
    """The columns whose own coefficient the rows tell: not those mixed with one that has no finite estimate."""
    follows = regression_design.following(matrix[:, first], [first.index(column) for column in kept])
    return [column for place, column in enumerate(kept) if not np.any(follows[place])]


def tested(estimate: float, error: float) -> tuple[float, float | None, float | None, float | None]:
    """An estimate with its error, z and two-sided p, the last three null where there is no error."""
    if not error > LEAST:
        return float(estimate), None, None, None
    z = estimate / error
    return float(estimate), float(error), float(z), float(2 * stats.norm.sf(abs(z)))
