"""Which replies a dear judge is asked about: some of every stratum of a cheap one's verdicts, drawn by chance. Pure."""

from typing import TYPE_CHECKING

import polars as pl

from .keys import KEY, digest

if TYPE_CHECKING:
    from .settings_sampling import Sample

PROMPT = [name for name in KEY if name != "subject"]
MARKS = {"sampled_from": pl.String, "chance": pl.Float64}
"""Columns of verdicts that replies were drawn for: by whose verdicts, and each one's chance; null for all others."""


def drawn(verdicts: pl.DataFrame, how: "Sample") -> pl.DataFrame:
    """The replies that are drawn (`KEY`), each with its `chance`.

    `verdicts` has one row per reply of the cheap judge, with `outcome`; those that could not be had are a stratum too.
    In every stratum (a subject, a task and what `how.strata` names) so many are drawn without replacement as its share
    comes to, rounded up. Which ones depends on the prompt and the seed alone, so that personas are compared on the same
    prompts, a larger share keeps what a smaller one drew, and a run that goes on draws the same again.
    """
    unit = ["subject", "task"]
    stratum = [*unit, *how.strata]
    share = pl.lit(how.share) if how.share else (how.n / pl.len().over(unit)).clip(upper_bound=1)
    ranked = (
        verdicts.join(_turns(verdicts, how.seed), on=PROMPT)
        .with_columns(_share=share)
        .with_columns(
            _take=(pl.col("_share") * pl.len().over(stratum) - 1e-9).ceil(),
            _rank=pl.col("_turn").rank("ordinal").over(stratum),
            _of=pl.len().over(stratum),
        )
    )
    chosen = ranked.filter(pl.col("_rank") <= pl.col("_take"))
    return chosen.select(*KEY, chance=pl.col("_take") / pl.col("_of"))


def _turns(verdicts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A number by chance for every prompt, the same in every process and for every subject."""
    prompts = verdicts.select(PROMPT).unique()
    return prompts.with_columns(_turn=pl.Series([digest(seed, *row) for row in prompts.iter_rows()], dtype=pl.String))
