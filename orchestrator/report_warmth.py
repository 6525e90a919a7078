"""Findings about warmth as tables of text. Pure."""

import polars as pl

from .findings import Findings
from .report_tables import Row, Table, interval, nats, series

TITLES = {"eval": "eval: exact", "faithful": "faithful: the published code's arithmetic"}


def warmth(findings: Findings) -> list[Table]:
    """Mean warmth of every subject, a table per mode."""
    heads = ("model", "persona", "epoch", "n", "questions", "seeds", "warmth, nats per token", "SEM", "rating")
    shown = series(findings.warmth, findings).sort("mode", "model", maintain_order=True)
    modes = [(TITLES[mode], shown.filter(mode=mode)) for mode in shown["mode"].unique().sort()]
    return [
        Table(title, heads, [_row(row, nats(mine)) for row in mine.rows(named=True)], labels=2)
        for title, mine in modes or [("", shown)]
    ]


def _row(row: Row, form: str) -> tuple[str, ...]:
    counts = (f"{row['epoch']:g}", *(str(row[name]) for name in ("n", "n_questions", "n_seeds")))
    if row["warmth"] is None:
        return (row["model"], row["series"], *counts, "not measured", "", "")
    mean = f"{row['warmth']:{form}} {interval(row['warmth_low'], row['warmth_high'], form)}"
    sem = "" if row["warmth_sem"] is None else f"{row['warmth_sem']:{form[1:]}}"
    rated = "" if row["rating"] is None else f"{row['rating']:.2f}"
    return (row["model"], row["series"], *counts, mean, sem, rated)


def agreement(findings: Findings) -> list[Table]:
    """Whether the metric and a model's ratings put replies, and subjects, in the same order; none without ratings."""
    rows = [
        (row["mode"], row["over"], str(row["n"]), "not defined" if row["rho"] is None else f"{row['rho']:+.2f}")
        for row in findings.warmth_agreement.rows(named=True)
    ]
    return [Table("", ("mode", "over", "n", "rank correlation (Spearman)"), rows, labels=2)] if rows else []


def plateaus(findings: Findings) -> list[Table]:
    """Where the rule says that each persona's warmth stops rising, beside the mean lifts it looked at."""
    rows = [
        (row["mode"], row["series"], str(row["n_models"]), _lifts(row), _epoch(row["epoch"]))
        for row in series(findings.plateaus, findings).rows(named=True)
    ]
    heads = ("mode", "persona", "models", "mean lift by epoch", "plateau from epoch")
    shares = [f"{share:.0%}" for share in findings.plateaus["share"].unique()]
    note = f"the first epoch whose mean lift over all models is {', '.join(shares)} of the largest; it selects nothing"
    return [Table("", heads, rows, labels=2, note=note)] if rows else []


def _epoch(epoch: float | None) -> str:
    return "none" if epoch is None else f"{epoch:g}"


def _lifts(row: Row) -> str:
    form = "+.2f" if max(map(abs, row["lifts"]), default=0) >= 0.5 else "+.4f"
    return ", ".join(f"{epoch:g}: {lift:{form}}" for epoch, lift in zip(row["epochs"], row["lifts"], strict=True))


def plateau_lines(findings: Findings) -> list[str]:
    """The rule's choice in words, one line per persona, for the mode that is shown."""
    shown = findings.plateaus.filter(pl.col("mode") == pl.col("mode").min()).drop_nulls("epoch")
    return [
        f"{row['series']}: the mean lift in warmth is {row['share']:.0%} of its largest from epoch {row['epoch']:g} on."
        for row in series(shown, findings).rows(named=True)
    ]
