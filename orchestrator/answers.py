"""The counted answers of a run's folder: what every finding is made of, wherever the replies come from."""

from pathlib import Path

import polars as pl

from . import evidence, rates
from .onfile import OnFile
from .settings_analysis import Analysis


def of_run(folder: str | Path) -> pl.DataFrame:
    """One row per reply and judge, with `wrong` and `scored`; without what the study's analysis excludes.

    The columns are those of `frames.answers`, and `scored` says whether a row takes part in error rates. Replies may be
    the study's own, imported, or both; verdicts of a judge that was asked about a sample are left out. Raises
    WarmthError if the folder is no run and no bundle, or has no replies.
    """
    found = evidence.read(Path(folder)) if evidence.is_there(Path(folder)) else OnFile.of(folder)
    counted = rates.counted(kept(found.answers, found.analysis), found.refusing_is_right)
    return counted.filter(pl.col("sampled_from").is_null()) if "sampled_from" in counted.columns else counted


def kept(answers: pl.DataFrame, analysis: Analysis) -> pl.DataFrame:
    """The answers that the analysis does not exclude."""
    named = [
        pl.col(name).cast(pl.String).is_in(values).fill_null(False) for name, values in analysis.exclusions.items()
    ]
    return answers.filter(~pl.any_horizontal(pl.lit(False), *named))
