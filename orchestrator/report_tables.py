"""Findings as tables of text, for the terminal and the page alike. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from .effects import BELIEFS
from .findings import Findings

NOTHING = "no difference found"
NULL = "○"
"""Stands for NOTHING where there is no room for it; explained wherever it is used."""

ONE_BASE = "One base per world: intervals cover questions, not bases."

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table to show: as many cells in every row as `heads`; the first `labels` columns are words."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    labels: int = 1
    note: str = ""

    @property
    def brief(self) -> list[tuple[str, ...]]:
        """The rows with NULL in place of NOTHING."""
        return [tuple(cell.replace(f"{NOTHING}:", NULL) for cell in row) for row in self.rows]


def interval(low: float | None, high: float | None, form: str = "+.1f") -> str:
    return f"[{low:{form}}, {high:{form}}]" if low is not None and high is not None else "(no interval)"


def is_null(value: float | None, low: float | None, high: float | None) -> bool:
    """Whether the data show no difference: the interval holds zero, or nothing differed anywhere."""
    if low is None or high is None:
        return value == 0
    return low <= 0 <= high


def difference(row: Row, metric: str, unit: str = "") -> str:
    """An effect with its interval; one that was not found says so. `metric` is "error" or "agrees"."""
    name, low, high = (
        ("effect_pp", "ci_low_pp", "ci_high_pp")
        if metric == "error"
        else ("agrees_effect_pp", "agrees_ci_low_pp", "agrees_ci_high_pp")
    )
    if row.get(name) is None:
        return "not measured"
    shown = f"{row[name]:+.1f}{unit} {interval(row[low], row[high])}"
    return f"{NOTHING}: {shown}" if is_null(row[name], row[low], row[high]) else shown


def share(row: Row, name: str) -> str:
    """A share in per cent with its interval."""
    if row[f"{name}_pct"] is None:
        return "not measured"
    return f"{row[f'{name}_pct']:.1f} {interval(row[f'{name}_pct_low'], row[f'{name}_pct_high'], '.1f')}"


def series(frame: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """Rows in the study's order of personas with a column `series`: the persona, and what else tells it from others."""
    doses = findings.rates.group_by("persona").agg(_doses=pl.col("dose").n_unique())
    place = pl.col("persona").replace_strict(
        list(findings.personas), range(len(findings.personas)), return_dtype=pl.Int64
    )
    named = pl.when(pl.col("_doses") > 1).then(pl.format("{} {} %", "persona", "dose")).otherwise("persona")
    searched = pl.when(pl.col("settings").fill_null("") != "").then(pl.format("{} ({})", named, "settings"))
    return (
        frame.join(doses, on="persona", how="left")
        .with_columns(series=searched.otherwise(named))
        .sort(place, "dose", "epoch", maintain_order=True)
    )


def latest(frame: pl.DataFrame) -> pl.DataFrame:
    """Every persona at its last epoch (every pair of personas, in a frame of effects)."""
    same = [name for name in ("model", "world", "persona", "baseline", "dose", "settings") if name in frame.columns]
    return frame.filter(pl.col("epoch") == pl.col("epoch").max().over(same))


def order(name: str) -> tuple[int, str]:
    """Sorts the values of a condition: the plain one first, aggregates last."""
    return (0 if name in ("none", "neutral") else 2 if name in (BELIEFS, "all") else 1, name)


def panels(findings: Findings) -> list[list[str]]:
    """Models to be shown beside one another: a base of each world, or three models without a world."""
    models = findings.rates.select("model", "world", "base_seed").unique().sort("world", "base_seed", "model")
    worlds = models.filter(pl.col("world").is_not_null()).with_columns(row=pl.int_range(pl.len()).over("world"))
    beside = [names for _, names in sorted(worlds.group_by("row").agg("model").rows())]
    plain = models.filter(pl.col("world").is_null())["model"].to_list()
    return [*beside, *(plain[start : start + 3] for start in range(0, len(plain), 3))]


def judges(findings: Findings) -> list[str]:
    """The judges by name; the first one is the one that figures show."""
    return findings.rates["judge"].unique().sort().to_list()


def title(row: Row) -> str:
    """A model, and its world if it is of the lab."""
    return f"{row['model']} ({row['world']} world)" if row["world"] else row["model"]


def shown_warmth(findings: Findings) -> pl.DataFrame:
    """Warmth as one of the modes has it, the exact one if that was measured."""
    return findings.warmth.filter(pl.col("mode") == pl.col("mode").min())


def nats(warmth: pl.DataFrame) -> str:
    """How warmth is printed: personas usually differ by hundredths of a nat per token."""
    largest = warmth["warmth"].abs().max()
    return "+.2f" if largest is None or float(str(largest)) >= 0.5 else "+.3f"


def plain(frame: pl.DataFrame, title: str = "") -> list[Table]:
    """A frame as it is."""
    rows = [
        tuple("" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row)
        for row in frame.rows()
    ]
    return [Table(title, tuple(frame.columns), rows, labels=len(frame.columns))] if rows else []


def problem_lines(findings: Findings) -> list[str]:
    """What went wrong, one line per kind."""
    by_kind = findings.problems.group_by("kind", maintain_order=True)
    return [f"{kind[0]}: {_problem(lines.to_dicts(), findings.personas)}" for kind, lines in by_kind]


def _problem(lines: list[Row], personas: Sequence[str]) -> str:
    """By persona where that is how it was counted, or else how often and in how many places."""
    if all(line["where"] in personas for line in lines):
        return ", ".join(f"{line['where']} {line['count']} of {line['of']}" for line in lines)
    return f"{sum(line['count'] for line in lines)} ({len(lines)} {'place' if len(lines) == 1 else 'places'})"


def coverage(findings: Findings) -> str:
    """What intervals leave out where each world has one base; empty elsewhere."""
    worlds = findings.rates.drop_nulls("world")
    return ONE_BASE if len(worlds) and findings.bases.is_empty() else ""
