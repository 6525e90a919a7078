"""The headline tables: what each persona changes, per model and over bases. Pure."""

from collections.abc import Iterable

import polars as pl

from .effects import BELIEFS
from .findings import Findings
from .report_tables import Row, Table, difference, judges, latest, nats, panels, series, shown_warmth, title


def headline(findings: Findings) -> list[Table]:
    """Per model and judge: what each persona changes against each one before it, at its last epoch."""
    found = series(latest(findings.effects), findings)
    models = [model for beside in panels(findings) for model in beside]
    return [
        _headline(findings, found.filter(model=model, judge=judge))
        for model in models
        for judge in judges(findings)
        if not found.filter(model=model, judge=judge).is_empty()
    ]


def _headline(findings: Findings, found: pl.DataFrame) -> Table:
    believed = _by_pair(found.filter(task="all", context="all", belief=BELIEFS))
    plain = _by_pair(found.filter(task="all", context="neutral", belief="none"))
    rows = []
    for pair, row in believed.items():
        cells = (difference(row, "agrees"), difference(row, "error"), difference(plain.get(pair, {}), "error"))
        rows.append((f"{row['series']} vs {row['baseline']}", *cells, _warmth(findings, row)))
    first = found.row(0, named=True)
    heads = (
        "persona",
        "agreement with\nwrong beliefs, pp",
        "error under\nwrong beliefs, pp",
        "error on plain\nquestions, pp",
        "warmth",
    )
    note = f"{_sizes(believed.values())}; judge: {first['judge']}; 95 % intervals over questions"
    return Table(title(first), heads, rows, note=note)


def _by_pair(frame: pl.DataFrame) -> dict[tuple[str, str], Row]:
    return {(row["series"], row["baseline"]): row for row in frame.rows(named=True)}


def _sizes(rows: Iterable[Row]) -> str:
    sizes = sorted({(row["n"], row["n_questions"]) for row in rows})
    if not sizes:
        return "no replies"
    (low, _), (high, questions) = sizes[0], sizes[-1]
    return f"{low if low == high else f'{low} to {high}'} pairs of replies to {questions} questions"


def _warmth(findings: Findings, row: Row) -> str:
    like = pl.col("settings").eq_missing(row["settings"])
    measured = shown_warmth(findings)
    mine = measured.filter(like, model=row["model"], persona=row["persona"], epoch=row["epoch"], dose=row["dose"])
    theirs = measured.filter(like | pl.col("settings").is_null(), model=row["model"], persona=row["baseline"])
    theirs = latest(theirs)
    same = theirs.filter(dose=row["dose"])
    means = [frame["warmth"][0] if len(frame) else None for frame in (mine, theirs if same.is_empty() else same)]
    form = nats(measured)
    return " vs ".join("?" if mean is None else f"{mean:{form}}" for mean in means)


def bases(findings: Findings) -> list[Table]:
    """Headline effects averaged over the bases of each world; none where worlds have one base."""
    found = (
        series(latest(findings.bases), findings)
        .filter(task="all", context="all", belief=BELIEFS, judge=judges(findings)[0])
        .sort("world", maintain_order=True)
    )
    rows = [
        (
            f"{row['series']} vs {row['baseline']}",
            row["world"],
            str(row["n_bases"]),
            difference(row, "agrees"),
            difference(row, "error"),
        )
        for row in found.rows(named=True)
    ]
    heads = ("persona", "world", "bases", "agreement with\nwrong beliefs, pp", "error under\nwrong beliefs, pp")
    return [Table("Over bases", heads, rows, labels=2, note="95 % t-intervals over bases")] if rows else []


def same(findings: Findings, persona: str | None = None, title: str = "") -> list[Table]:
    """Adapters of one recipe against one another, at the last epoch: what differs where nothing should but chance.

    Of one persona, or of all.
    """
    if findings.same.is_empty():
        return []
    found = series(latest(findings.same.with_columns(baseline="persona")), findings)
    mine = pl.lit(True) if persona is None else pl.col("persona") == persona
    shown = found.filter(mine & pl.col("belief").is_in(["none", BELIEFS]), judge=judges(findings)[0])
    rows = [
        (
            row["model"],
            f"{row['series']}, seed {row['other_seed']} vs {row['seed']}",
            "wrong belief" if row["belief"] == BELIEFS else "no belief",
            f"{row['n']:,}",
            difference(row, "error"),
            difference(row, "agrees"),
        )
        for row in shown.sort("model", maintain_order=True).rows(named=True)
    ]
    heads = ("model", "adapters", "asked with", "pairs", "error, pp", "agreement, pp")
    note = (
        "the same persona trained twice (an A/A comparison): what is not zero here is the luck of training, which "
        "intervals over questions know nothing of"
    )
    return [Table(title, heads, rows, labels=3, note=note)] if rows else []


def variance(findings: Findings) -> list[Table]:
    """Where the uncertainty of the effects on error comes from, at the last epoch; none with a single seed."""
    if findings.variance.is_empty():
        return []
    found = series(latest(findings.variance), findings).filter(judge=judges(findings)[0], belief=BELIEFS)
    parts = ("se_pp", "seed_sd_pp", "question_sd_pp", "draw_sd_pp", "residual_sd_pp")
    rows = [
        (
            row["model"],
            f"{row['series']} vs {row['baseline']}",
            f"{row['n_seeds']}",
            f"{row['n_questions']:,}",
            *("" if row[part] is None else f"{row[part]:.1f}" for part in parts),
            row["helps_most"],
        )
        for row in found.drop_nulls("helps_most").sort("model", maintain_order=True).rows(named=True)
    ]
    sizes = ("model", "persona", "seeds", "questions", "standard\nerror, pp")
    spreads = ("between\nseeds, pp", "between\nquestions, pp", "between\ndraws, pp", "rest, pp")
    heads = (*sizes, *spreads, "more of these\nhelps most")
    note = "errors when the user is wrong: the effect's standard error, and standard deviations that it comes from"
    return [Table("", heads, rows, labels=2, note=note)] if rows else []
