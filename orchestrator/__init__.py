"""What does it cost to give a language model a persona? `Study` is an experiment, `load` gives a run's tables."""

from typing import TYPE_CHECKING

from .study import Study

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

__all__ = ["Study", "load"]


def load(run: "str | Path") -> "dict[str, pl.LazyFrame]":
    """All rows of a run's tables, lazily: `replies`, `scores`, `warmth`. Raises WarmthError if it is no run."""
    from . import frames

    return frames.load(run)
