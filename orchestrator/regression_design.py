"""What a formula makes of counted rows: design matrices, and which of their columns can be estimated. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import patsy
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import linprog

from . import formulas
from .errors import WarmthError

Matrix = NDArray[Any]
MOST_TERMS = 500
MOST_NUMBERS = 200_000_000
"""The largest design matrix: 1.6 GB."""


@dataclass(frozen=True)
class Design:
    """A formula's columns over the patterns that they were coded from."""

    formula: str
    info: Any
    levels: Mapping[str, pl.Enum]

    @property
    def terms(self) -> list[str]:
        return list(self.info.column_names)

    def matrix(self, patterns: pl.DataFrame) -> Matrix:
        """One row per pattern. Raises WarmthError where a term is no finite number."""
        if len(self.terms) > MOST_TERMS or len(patterns) * len(self.terms) > MOST_NUMBERS:
            raise WarmthError(
                f"{self.formula}: {len(self.terms):,} terms over {len(patterns):,} combinations of values are too many "
                "to fit; leave out the column with most values"
            )
        found = _evaluated(self.formula, lambda: _coded(self.info, _data(patterns, self.levels)))
        matrix = np.asarray(found[0], dtype=np.float64)
        for name, column in zip(self.terms, matrix.T, strict=True):
            if not np.isfinite(column).all():
                raise WarmthError(
                    f"{self.formula}: {name} is no finite number for every row (log1p takes 0, log does not)"
                )
        return matrix


def design(formula: str, patterns: pl.DataFrame) -> Design:
    """A checked formula's coding over these patterns: levels in alphabetical order, the first one the reference."""
    parsed = formulas.described(formula)
    levels = {
        name: pl.Enum(patterns[name].unique().sort().cast(pl.String))
        for name in formulas.used(parsed)
        if isinstance(patterns[name].dtype, pl.Enum)
    }
    data = _data(patterns, levels)
    environment = patsy.EvalEnvironment([dict(formulas.FUNCTIONS)])
    found = _evaluated(
        formula,
        lambda: patsy.incr_dbuilder(patsy.ModelDesc([], parsed.rhs_termlist), lambda: iter([data]), environment),
    )
    if not found.column_names:
        raise WarmthError(f"{formula}: no term is left to fit; write at least `{formulas.OUTCOME} ~ 1`")
    return Design(formula, found, levels)


def _coded(info: Any, data: pd.DataFrame) -> Any:
    """patsy leaves out rows that it takes for missing, unless told that none is."""
    return patsy.build_design_matrices([info], data, NA_action=patsy.NAAction(NA_types=[]))


def _evaluated(formula: str, evaluate: Any) -> Any:
    """What patsy makes of a formula. Its complaints, numpy's among them, are about what the user wrote."""
    try:
        with np.errstate(all="ignore"):
            return evaluate()
    except (patsy.PatsyError, TypeError, ValueError, ZeroDivisionError) as error:
        why = getattr(error, "message", None) or str(error)
        raise WarmthError(f"{formula}: cannot be worked out ({why})") from error


def _data(patterns: pl.DataFrame, levels: Mapping[str, pl.Enum]) -> pd.DataFrame:
    columns = [name for name in patterns.columns if name in formulas.COLUMNS]
    data = {name: _column(patterns[name], levels.get(name)) for name in columns}
    return pd.DataFrame(data, index=range(len(patterns)))


def _column(values: pl.Series, level: pl.Enum | None) -> Any:
    if level is None:
        return values.to_numpy()
    codes = values.cast(pl.String).cast(level).to_physical().to_numpy()
    return pd.Categorical.from_codes(codes, categories=level.categories.to_list())


def independent(matrix: Matrix) -> list[int]:
    """The columns that do not follow from those before them (by Gram and Schmidt's method, twice, which is enough)."""
    scale = np.abs(matrix).max(axis=0, initial=0)
    factor: Matrix = np.asarray(np.linalg.qr(matrix / np.where(scale > 0, scale, 1), mode="r"))
    kept: list[int] = []
    basis = np.empty_like(factor)
    for column, rest in enumerate(factor.T):
        for _ in range(2):
            mine = basis[:, : len(kept)]
            rest = rest - mine @ (mine.T @ rest)  # noqa: PLW2901
        if (size := np.linalg.norm(rest)) > 1e-9 * np.sqrt(len(matrix)):
            basis[:, len(kept)] = rest / size
            kept.append(column)
    return kept


def following(matrix: Matrix, kept: list[int]) -> Matrix:
    """How the other columns follow from those kept: `matrix[:, others] = matrix[:, kept] @ following`."""
    factor: Matrix = np.asarray(np.linalg.qr(matrix, mode="r"))
    others = [column for column in range(matrix.shape[1]) if column not in kept]
    found = np.linalg.lstsq(factor[:, kept], factor[:, others], rcond=None)[0]
    return np.where(np.abs(found) > 1e-9, found, 0)


def separated(matrix: Matrix, n: Matrix, wrong: Matrix) -> NDArray[np.bool_]:
    """The patterns of which some sum of the columns tells that all replies are wrong, or all right, and of no other.

    No finite estimate exists if there are any (Albert and Anderson 1984); they are found by linear programming (Konis
    2007): the direction b with |b| <= 1 that makes the sum of |x b| largest while x b >= 0 where all are wrong, <= 0
    where none is, and 0 where it varies.
    """
    scaled = matrix / np.abs(matrix).max(axis=0)
    sign = np.where(wrong == n, 1.0, np.where(wrong == 0, -1.0, 0.0))
    signed = scaled[sign != 0] * sign[sign != 0, None]
    mixed = scaled[sign == 0]
    found = linprog(
        -signed.sum(axis=0),
        A_ub=-signed if len(signed) else None,
        b_ub=np.zeros(len(signed)) if len(signed) else None,
        A_eq=mixed if len(mixed) else None,
        b_eq=np.zeros(len(mixed)) if len(mixed) else None,
        bounds=(-1, 1),
    )
    direction = found.x if found.status == 0 else np.zeros(matrix.shape[1])
    return np.abs(scaled @ direction) > 1e-6
