"""The counted answers of a run's folder: what every finding is made of, wherever the replies come from."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

import tasks

from . import config, frames, rates
from .left import Left
from .plan import Plan
from .settings_analysis import Analysis
from .store import Store


def of_run(folder: str | Path) -> pl.DataFrame:
    """One row per reply and judge, with `wrong` and `scored`; without what the study's analysis excludes.

    The columns are those of `frames.answers`, and `scored` says whether a row takes part in error rates. Raises
    WarmthError if the folder is no run.
    """
    store, study = Store(Path(folder).absolute()), config.of_run(folder)
    plan = Plan(study)
    found = frames.answers(plan, store, Left(plan, store).served())
    return rates.counted(kept(found, study.analysis), refusing_is_right())


def kept(answers: pl.DataFrame, analysis: Analysis) -> pl.DataFrame:
    """The answers that the analysis does not exclude."""
    return answers.filter(~excluded(analysis))


def excluded(analysis: Analysis) -> pl.Expr:
    """Whether an answer takes no part in any finding."""
    named = [
        pl.col(name).cast(pl.String).is_in(values).fill_null(False) for name, values in analysis.exclusions.items()
    ]
    return pl.any_horizontal(pl.lit(False), *named)


def refusing_is_right() -> Sequence[str]:
    """The tasks in which a refusal is no error."""
    return [name for name in tasks.names() if tasks.load(name).refusing_is_right]
