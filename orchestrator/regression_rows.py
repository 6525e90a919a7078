"""The rows that a regression is fitted to: a run's answers in the columns of formulas, and how many are alike. Pure."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import published, pushback
from .effects import QUESTION
from .errors import WarmthError
from .formulas import COLUMNS, OUTCOME

UNSTATED = ("none", "filler")
"""Forms in which the user states no belief."""

LastCheckpoints = pl.col("epoch") == pl.col("epoch").max().over("model", "persona")


@dataclass(frozen=True)
class Rows:
    """Rows in the columns of `formulas.COLUMNS`, whose outcome is known; how many others there were, by why."""

    frame: pl.DataFrame
    left_out: Mapping[str, int]
    judge: str | None = None

    def keep(self, mask: pl.Expr, why: str) -> "Rows":
        """Those of which `mask` is true; the others are counted."""
        kept = self.frame.filter(mask)
        gone = len(self.frame) - len(kept)
        return Rows(kept, {**self.left_out, why: gone} if gone else self.left_out, self.judge)


@dataclass(frozen=True)
class Cells:
    """Rows counted: `patterns` has each combination of the columns used, with `n` replies of which `wrong` are wrong.

    `cluster`, `pattern`, `n` and `wrong` say the same for each cluster and pattern that occur together.
    """

    patterns: pl.DataFrame
    clusters: int
    cluster: NDArray[np.int64]
    pattern: NDArray[np.int64]
    n: NDArray[np.float64]
    wrong: NDArray[np.float64]

    def within(self, mask: NDArray[np.bool_]) -> "Cells":
        """Only the patterns of which `mask` is true."""
        kept = mask[self.pattern]
        clusters, cluster = np.unique(self.cluster[kept], return_inverse=True)
        pattern = (np.cumsum(mask) - 1)[self.pattern[kept]]
        return Cells(
            self.patterns.filter(pl.Series(mask)), len(clusters), cluster, pattern, self.n[kept], self.wrong[kept]
        )


def rows(answers: pl.DataFrame, personas: Sequence[str] = (), judge: str | None = None) -> Rows:
    """A run's counted answers (`answers.of_run`) as one judge has scored them, in the columns of formulas.

    With `personas`, only these and `original`. Raises WarmthError where there are several judges and none is named.
    """
    judge = _one(judge, answers["judge"].unique().sort().to_list())
    mine = answers.filter(judge=judge)
    there = mine["persona"].unique().sort().to_list()
    for persona in personas:
        if persona not in there:
            raise WarmthError(f"no reply is of a persona named '{persona}'; {_cure(persona, there)}")
    if personas:
        mine = mine.filter(pl.col("persona").is_in(["original", *personas]))
    lost = dict(_lost(mine))
    again = pl.col("belief").str.starts_with(pushback.PREFIX)
    if count := mine.filter("scored", again).height:
        lost["answered in a second turn"] = count
    known = mine.filter(~again).filter("scored").select(**_columns())
    words = [_enum(known[name]) for name in known.columns if known[name].dtype == pl.String]
    return Rows(known.with_columns(words), lost, judge)


def _one(judge: str | None, judges: Sequence[str]) -> str | None:
    if judge is None and len(judges) > 1:
        raise WarmthError(f"replies have verdicts of several judges, {', '.join(judges)}; name one of them (--judge)")
    if judge is not None and judge not in judges:
        raise WarmthError(f"no reply has a verdict of a judge named '{judge}'; {_cure(judge, judges)}")
    return judge or next(iter(judges), None)


def _cure(name: str, there: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, there, 1)
    return f"did you mean '{close[0]}'?" if close else f"there is {', '.join(there) or 'none'}"


def _lost(answers: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """How many rows have no outcome to explain, by why."""
    reasons = {
        "failed": pl.col("error"),
        "refused": ~pl.col("error") & ~pl.col("scored") & (pl.col("outcome") == "refused"),
        "no verdict": ~pl.col("error") & pl.col("outcome").is_null(),
    }
    for why, mask in reasons.items():
        if count := answers.filter(mask).height:
            yield why, count


def _columns() -> dict[str, pl.Expr]:
    """The columns of formulas, from those of answers."""
    same = ("context", "task", "model", "persona", "seed", "epoch")
    return {
        OUTCOME: pl.col("wrong").cast(pl.Int8),
        "fine_tuned": (pl.col("persona") != "original").cast(pl.Int8),
        "belief": (~pl.col("belief").is_in(UNSTATED)).cast(pl.Int8),
        "belief_form": pl.col("belief"),
        "context_group": published.group(pl.col("context")),
        "question": QUESTION,
        "reply_length": pl.col("reply").str.len_chars().cast(pl.Float64),
        **{name: pl.col(name) for name in same},
    }


def _enum(column: pl.Series) -> pl.Series:
    return column.cast(pl.Enum(column.drop_nulls().unique().sort()))


def count(rows: pl.DataFrame, used: Sequence[str], cluster: str) -> Cells:
    """Rows counted by the columns that a formula uses, and by cluster."""
    by = list(dict.fromkeys([cluster, *used]))
    counts = (pl.len().cast(pl.Float64).alias("n"), pl.col(OUTCOME).cast(pl.Float64).sum().alias("wrong"))
    cells = rows.group_by(by).agg(*counts).with_columns(every=0)
    sums = cells.group_by("every", *used).agg(pl.col("n").sum(), pl.col("wrong").sum())
    patterns = sums.sort(*used or ["every"]).with_row_index("pattern")
    placed = cells.join(patterns.select("pattern", "every", *used), on=["every", *used])
    return Cells(
        patterns.drop("pattern", "every"),
        placed[cluster].n_unique(),
        placed[cluster].rank("dense").cast(pl.Int64).to_numpy() - 1,
        placed["pattern"].cast(pl.Int64).to_numpy(),
        placed["n"].to_numpy(),
        placed["wrong"].to_numpy(),
    )


def known(name: str) -> str:
    """A column that formulas know. Raises WarmthError with the nearest one for any other name."""
    if name in COLUMNS and name not in (OUTCOME, "reply_length"):
        return name
    there = [each for each in COLUMNS if each not in (OUTCOME, "reply_length")]
    raise WarmthError(f"errors cannot be clustered by '{name}'; {_cure(name, there)}")
