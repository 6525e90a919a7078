"""What does it cost to give a language model a persona? `Study` is an experiment, `load` gives a run's tables."""

from typing import TYPE_CHECKING

from .study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from .checking import Checked
    from .regression import Fit

__all__ = ["Study", "check", "fit", "load"]


def load(run: "str | Path") -> "dict[str, pl.LazyFrame]":
    """All rows of a run's, or a bundle's, tables, lazily: `replies`, `scores`, `warmth`. Raises WarmthError else."""
    from pathlib import Path

    from . import evidence, frames

    return evidence.load(Path(run)) if evidence.is_there(Path(run)) else frames.load(run)


def check(run: "str | Path") -> "Checked":
    """Is a run whole and right? `.passes()`, and `.found` with file, what is wrong, and the cure; see `checking`."""
    from . import checking

    return checking.check(run)


def fit(
    run: "str | Path",
    formula: str,
    cluster: str | None = None,
    personas: "Sequence[str]" = (),
    judge: str | None = None,
    check: str | None = None,
) -> "Fit":
    """A regression of errors over a run's replies; see `Study.fit`. Raises WarmthError if it is no run."""
    from . import regression

    return regression.fit_run(run, formula, cluster, personas, judge, check)
