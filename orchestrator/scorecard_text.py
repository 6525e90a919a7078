"""The scorecard in words: tables for the terminal and the page. Pure."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from .report_tables import Table, interval

VERDICTS = ("agrees", "differs", "cannot tell")
NOTHING = (
    "Nothing in this run stands beside a published figure: the study asked TriviaQA, TruthfulQA, MedQA, Disinfo, MMLU,"
    " GSM8K and AdvBench of `original` and of `warm`, `cold` and `warm-prompt`, and measured warmth with GPT-2."
)
NOTE = (
    "Ours less theirs in exactly the cells that ours has; brackets are 95 % intervals from both sides' sampling errors."
    " agrees: within the margin by two one-sided tests at 5 %; differs: the interval lies outside it; else cannot tell."
)


def tables(scorecard: pl.DataFrame) -> Iterator[Table]:
    """What the study is quoted by, row by row; and of every table how many cells agree."""
    if scorecard.is_empty():
        return
    quoted = scorecard.filter(pl.col("table").is_in(["headline", "benchmarks", "warmth by epoch"]))
    heads = ("figure", "persona", "model", "ours", "theirs", "difference", "n", "verdict")
    yield Table("Beside the published study", heads, [_row(row) for row in quoted.rows(named=True)], 3, NOTE)
    yield Table(
        "How many figures agree",
        ("table", "kind", *VERDICTS, "mean difference"),
        [_tally(key, rows) for key, rows in scorecard.group_by("table", "kind", maintain_order=True)],
        2,
        _because(scorecard),
    )


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    form = "+.1f" if row["unit"] == "pp" else ".4f"
    epoch = f", epoch {row['epoch']:g}" if row["epoch"] is not None else ""
    name = row["task"] if row["measure"] == "cell" else row["measure"]
    apart = f"{row['difference']:{form}} {interval(row['low'], row['high'], form)}"
    return (
        f"{name}{epoch}",
        str(row["persona"]),
        str(row["model"]),
        f"{row['ours']:{form}}",
        f"{row['theirs']:{form}}",
        apart,
        f"{row['n']:,}",
        str(row["verdict"]),
    )


def _tally(key: tuple[object, ...], rows: pl.DataFrame) -> tuple[str, ...]:
    """The verdicts of a table's rows, and their mean difference; not of the headline's, which overlap."""
    counts = [f"{(rows['verdict'] == verdict).sum():,}" for verdict in VERDICTS]
    mean: Any = rows["difference"].mean()
    told = f"{mean:+.2f}" if rows["unit"][0] == "pp" else f"{mean:+.4f}"
    return str(key[0]), str(key[1]), *counts, "" if key[0] == "headline" else told


def _because(scorecard: pl.DataFrame) -> str:
    """Why what is not a direct replication is none."""
    told = (
        scorecard.filter(pl.col("kind") != "direct")
        .group_by("kind", maintain_order=True)
        .agg(pl.col("because").unique())
    )
    return " ".join(f"{kind}: {'; '.join(sorted(reasons))}." for kind, reasons in told.iter_rows())
