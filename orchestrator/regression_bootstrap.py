"""Another look at clustered errors: clusters drawn again, and every draw fitted anew. Pure."""

import numpy as np
import polars as pl
from scipy import sparse

from .regression_design import Matrix
from .regression_solve import FAR, Solved, chance

DRAWS = 1000
SEED = 0
STEPS = 25
_AT_ONCE = 20_000_000
"""Numbers held at a time while draws are fitted."""


def bootstrap(solved: Solved, draws: int = DRAWS, seed: int = SEED) -> pl.DataFrame:
    """The pairs cluster bootstrap (Cameron, Gelbach and Miller 2008): `term, se, low, high, draws`, in log-odds.

    As many clusters as there are, are drawn with replacement, and the model is fitted to their rows, `draws` times with
    a fixed seed. `se` is the standard deviation of the estimates, `low` and `high` are their 2.5 and 97.5 percentiles.
    A draw without a finite estimate takes no part; `draws` counts those that do.
    """
    random, cells = np.random.default_rng(seed), solved.cells
    shape = (cells.clusters, len(solved.matrix))
    counts = [sparse.csr_array((each, (cells.cluster, cells.pattern)), shape=shape) for each in (cells.n, cells.wrong)]
    step = max(1, _AT_ONCE // len(solved.matrix))
    even = np.full(cells.clusters, 1 / cells.clusters)
    found = np.concatenate(
        [
            _fitted(solved, *(random_draw @ each for each in counts))
            for start in range(0, draws, step)
            for random_draw in [random.multinomial(cells.clusters, even, min(step, draws - start))]
        ]
    )
    return _table(solved, found[np.isfinite(found).all(axis=1)])


def _fitted(solved: Solved, n: Matrix, wrong: Matrix) -> Matrix:
    """Estimates for each row of counts, by Newton's method from those of all rows; NaN where it runs away."""
    scale = np.abs(solved.matrix[:, solved.kept]).max(axis=0)
    matrix = solved.matrix[:, solved.kept] / scale
    width = matrix.shape[1]
    products = (matrix[:, :, None] * matrix[:, None, :]).reshape(len(matrix), -1)
    estimate = np.tile(solved.estimate * scale, (len(n), 1))
    for _ in range(STEPS):
        p = chance(np.clip(estimate @ matrix.T, -2 * FAR, 2 * FAR))
        information = ((n * p * (1 - p)) @ products).reshape(-1, width, width)
        ridge = 1e-10 * np.trace(information, axis1=1, axis2=2)[:, None, None] * np.eye(width)
        step = np.linalg.solve(information + ridge, ((wrong - n * p) @ matrix)[..., None])[..., 0]
        estimate = estimate + step
        if np.abs(step).max() < 1e-8:
            break
    far = np.abs(estimate @ matrix.T).max(axis=1) > FAR
    estimate[far | (np.abs(step).max(axis=1) > 1e-6)] = np.nan
    return np.asarray(estimate / scale)


def _table(solved: Solved, found: Matrix) -> pl.DataFrame:
    places = [solved.kept.index(column) for column in solved.estimated]
    mine = found[:, places]
    low, high = np.percentile(mine, [2.5, 97.5], axis=0) if len(mine) else np.full((2, len(places)), np.nan)
    return pl.DataFrame(
        {
            "term": [solved.design.terms[column] for column in solved.estimated],
            "se": mine.std(axis=0, ddof=1) if len(mine) > 1 else [None] * len(places),
            "low": low,
            "high": high,
            "draws": [len(mine)] * len(places),
        }
    ).fill_nan(None)
