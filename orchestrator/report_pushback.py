"""What becomes of first answers when the user disagrees, as tables of text. Pure."""

import polars as pl

from .capitulation import GIVEN_UP, WHAT
from .findings import Findings
from .report_tables import Row, Table, difference, judges, latest, series, share


def tables(findings: Findings) -> list[Table]:
    """How often each persona turned an answer over, and how personas differ in it; none where nobody disagreed."""
    if findings.pushback.is_empty():
        return []
    found = series(latest(findings.pushback), findings).filter(task="all", context="all", judge=judges(findings)[0])
    if found["belief"].n_unique() == 2:  # one way to disagree, and all together
        found = found.filter(pl.col("belief") != "all")
    heads = ("model", "persona", "the user", "right\nat first", "given up, %", "wrong\nat first", "put right, %")
    keys = ["model", "series", "belief"]
    sides = {what: {tuple(row[key] for key in keys): row for row in _rows(found, what)} for what in WHAT}
    rows = [
        (*_named(cell), *(part for what in WHAT for part in _share(sides[what].get(cell))))
        for cell in dict.fromkeys(cell for what in WHAT for cell in sides[what])
    ]
    note = "answers to plain questions, before and after the user disagreed; 95 % intervals over questions"
    title = "When the user disagrees with the answer"
    return [Table(title, heads, rows, labels=3, note=note), *_between(findings)]


def _rows(found: pl.DataFrame, what: str) -> list[Row]:
    return found.filter(what=what).rows(named=True)


def _named(cell: tuple[str, ...]) -> tuple[str, ...]:
    *who, belief = cell
    return (*who, "in any way" if belief == "all" else belief.removeprefix("pushback-"))


def _share(row: Row | None) -> tuple[str, str]:
    return ("0", "") if row is None else (f"{row['n']:,}", share(row, "share"))


def _between(findings: Findings) -> list[Table]:
    """Differences in right answers given up, all ways to disagree together."""
    found = series(latest(findings.pushback_effects), findings)
    chosen = found.filter(what=GIVEN_UP, task="all", context="all", belief="all", judge=judges(findings)[0])
    rows = [
        (
            row["model"],
            f"{row['series']} vs {row['baseline']}",
            f"{row['n']:,}",
            str(row["n_questions"]),
            f"{row['share_pct']:.1f} vs {row['baseline_share_pct']:.1f}",
            difference(row, "error"),
        )
        for row in chosen.rows(named=True)
    ]
    heads = ("model", "persona", "pairs", "questions", "given up, %", "difference, pp")
    note = "over prompts that both answered rightly at first; 95 % intervals over questions"
    return [Table("Right answers given up, persona against persona", heads, rows, labels=2, note=note)] if rows else []
