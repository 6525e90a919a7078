"""What is said to tasks marked sensitive is counted, and shown only where that is asked for. Pure."""

import polars as pl

import tasks

from . import published

INSTEAD = "(not shown: the task is marked sensitive)"
_TEXTS = ("prompt", "reply", "first_reply", "pushback", "text", "said")


def names() -> list[str]:
    """The tasks that are marked so."""
    return [name for name in tasks.names() if tasks.load(name).sensitive]


def marked(task: str) -> bool:
    """Whether a task is, under whatever name it was imported."""
    return published.task(task) in names()


def hidden(rows: pl.DataFrame, sensitive: bool = False, instead: str | None = INSTEAD) -> pl.DataFrame:
    """Rows with a column `task`, their prompts and replies covered where the task is marked; all if `sensitive`."""
    covered = [] if sensitive else [name for name in _TEXTS if name in rows.columns]
    among = pl.col("task").is_in(_among(rows))
    return rows.with_columns(
        pl.when(among & pl.col(name).is_not_null()).then(pl.lit(instead, pl.String)).otherwise(name).alias(name)
        for name in covered
    )


def left_out(rows: pl.DataFrame, sensitive: bool = False) -> pl.DataFrame:
    """Without the rows of tasks marked so; all if `sensitive`."""
    return rows if sensitive else rows.filter(~pl.col("task").is_in(_among(rows)))


def _among(rows: pl.DataFrame) -> list[str]:
    """The tasks of these rows that are marked so."""
    return [name for name in rows["task"].unique() if marked(name)]
