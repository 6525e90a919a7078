"""The detailed tables of the page, by heading. Pure."""

import dataclasses
from collections.abc import Sequence

import polars as pl

from . import report_headline, report_judges, report_pushback, report_warmth
from .effects import BELIEFS
from .findings import Findings
from .report_tables import Row, Table, difference, judges, latest, order, panels, plain, series, share, title


def tables(findings: Findings) -> list[tuple[str, list[Table]]]:
    """The detailed tables, by heading."""
    task, context, belief = pl.col("task"), pl.col("context"), pl.col("belief")
    under = "under wrong beliefs, both forms together"
    chosen: list[tuple[str, str, pl.Expr, str]] = [
        (
            "Effects by belief form",
            "belief",
            task.eq("all") & context.eq("all") & ~belief.str.ends_with("-none"),
            "contexts together",
        ),
        (
            "Effects by context",
            "context",
            task.eq("all") & belief.eq(BELIEFS) & ~context.str.ends_with("-neutral"),
            under,
        ),
        ("Effects by task", "task", context.eq("all") & belief.eq(BELIEFS), under),
        (
            "More with a belief than without?",
            "belief",
            task.eq("all") & context.eq("all") & belief.str.ends_with("-none"),
            "the difference under a belief minus the difference on the same questions without one",
        ),
        (
            "More in a context than in the neutral one?",
            "context",
            task.eq("all") & belief.eq(BELIEFS) & context.str.ends_with("-neutral"),
            "the difference in a context minus the difference on the same questions in the neutral one",
        ),
    ]
    details = [(heading, side_by_side(findings, by, rows, note)) for heading, by, rows, note in chosen]
    return [
        ("How each persona did", rates(findings)),
        *details,
        ("Where the uncertainty comes from", report_headline.variance(findings)),
        ("Warmth", report_warmth.warmth(findings)),
        ("Where warmth stops rising", report_warmth.plateaus(findings)),
        ("Warmth as measured and as rated by a model", report_warmth.agreement(findings)),
        ("What else differs in what was learnt", balance(findings)),
        *_if_any(findings),
    ]


def _if_any(findings: Findings) -> list[tuple[str, list[Table]]]:
    """What few studies have tables of."""
    return [
        (heading, shown)
        for heading, shown in (
            ("When the user disagrees with the answer", report_pushback.tables(findings)),
            *report_judges.tables(findings),
        )
        if shown
    ]


def rates(findings: Findings) -> list[Table]:
    """Per row of models: how each persona did under each belief form, contexts together."""
    found = series(latest(findings.rates), findings).filter(task="all", context="all", judge=judges(findings)[0])
    found = _in_order(found.filter(pl.col("belief") != "all"), "belief")
    heads = (
        "persona",
        "belief",
        "n",
        "questions",
        "seeds",
        "error %",
        "agrees %",
        "other %",
        "unreadable %",
        "unscored",
        "failed",
    )
    return [
        Table(title(mine.row(0, named=True)), heads, [_rates(row) for row in mine.rows(named=True)], labels=2)
        for beside in panels(findings)
        for model in beside
        if len(mine := found.filter(model=model))
    ]


def _rates(row: Row) -> tuple[str, ...]:
    counts = (str(row[name]) for name in ("n", "n_questions", "n_seeds"))
    shares = (share(row, name) for name in ("error", "agrees", "other", "unreadable"))
    return (row["series"], row["belief"], *counts, *shares, str(row["unscored"]), str(row["errors"]))


def side_by_side(findings: Findings, condition: str, chosen: pl.Expr, note: str) -> list[Table]:
    """Effects at the last epoch by `condition`, the models of a row of panels beside one another."""
    found = series(latest(findings.effects), findings).filter(chosen, judge=judges(findings)[0])
    ordered = _in_order(found, condition)
    return [_beside(ordered, models, condition, note) for models in panels(findings)]


def _in_order(found: pl.DataFrame, condition: str) -> pl.DataFrame:
    """Personas stay in the study's order; within each comparison, the values of a condition in theirs."""
    names = sorted(found[condition].unique(), key=order)
    compared = [name for name in ("series", "baseline") if name in found.columns]
    placed = found.with_row_index("_place").with_columns(pl.col("_place").min().over(compared))
    return placed.sort("_place", pl.col(condition).cast(pl.Enum(names)), maintain_order=True).drop("_place")


def _beside(found: pl.DataFrame, models: Sequence[str], condition: str, note: str) -> Table:
    cells: dict[tuple[str, str], dict[str, Row]] = {}
    for row in found.filter(pl.col("model").is_in(models)).rows(named=True):
        cells.setdefault((f"{row['series']} vs {row['baseline']}", str(row[condition])), {})[row["model"]] = row
    heads = tuple(head for model in models for head in (f"{model}\nagreement, pp", "error, pp", "n"))
    rows = [
        (*label, *(cell for model in models for cell in _effect_cells(row.get(model)))) for label, row in cells.items()
    ]
    return Table(" beside ".join(models), ("persona", condition, *heads), rows, labels=2, note=note)


def _effect_cells(row: Row | None) -> tuple[str, str, str]:
    if row is None:
        return ("not measured", "not measured", "0")
    return (difference(row, "agrees"), difference(row, "error"), str(row["n"]))


def balance(findings: Findings) -> list[Table]:
    """What rewritten conversations are like, besides their style; none if nothing is rewritten."""
    note = "means over replies; hedges, exclamations and questions per 100 words; lists and code: share of replies"
    shown = findings.balance.with_columns(pl.selectors.float().round_sig_figs(3))
    return [dataclasses.replace(table, note=note, labels=1) for table in plain(shown)]
