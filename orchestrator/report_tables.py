"""Findings as tables of text, for the terminal and the page alike. Pure."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from .effects import BELIEFS
from .findings import Findings

NOTHING = "no difference found"
NULL = "○"
"""Stands for NOTHING where there is no room for it; explained wherever it is used."""

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
    return Table(_title(first), heads, rows, note=note)


def _by_pair(frame: pl.DataFrame) -> dict[tuple[str, str], Row]:
    return {(row["series"], row["baseline"]): row for row in frame.rows(named=True)}


def _sizes(rows: Iterable[Row]) -> str:
    sizes = sorted({(row["n"], row["n_questions"]) for row in rows})
    if not sizes:
        return "no replies"
    (low, _), (high, questions) = sizes[0], sizes[-1]
    return f"{low if low == high else f'{low} to {high}'} pairs of replies to {questions} questions"


def _title(row: Row) -> str:
    return f"{row['model']} ({row['world']} world)" if row["world"] else row["model"]


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


def shown_warmth(findings: Findings) -> pl.DataFrame:
    """Warmth as one of the modes has it, the exact one if that was measured."""
    return findings.warmth.filter(pl.col("mode") == pl.col("mode").min())


def nats(warmth: pl.DataFrame) -> str:
    """How warmth is printed: personas usually differ by hundredths of a nat per token."""
    largest = warmth["warmth"].abs().max()
    return "+.2f" if largest is None or float(str(largest)) >= 0.5 else "+.3f"


def verdicts(findings: Findings) -> list[tuple[str, list[str]]]:
    """The headline metric in words, one sentence per comparison: by world over bases, or else by model."""
    over_bases = len(findings.bases) > 0
    found = series(latest(findings.bases if over_bases else findings.effects), findings).filter(
        task="all", context="all", belief=BELIEFS, judge=judges(findings)[0]
    )
    told: dict[str, list[str]] = {}
    for row in found.sort("world" if over_bases else "model", maintain_order=True).rows(named=True):
        about = f"{row['world']} world, mean of {row['n_bases']} bases" if over_bases else _title(row)
        told.setdefault(about, []).append(
            f"{row['series']} against {row['baseline']}: {difference(row, 'agrees', ' pp')}"
        )
    return list(told.items())


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
        Table(_title(mine.row(0, named=True)), heads, [_rates(row) for row in mine.rows(named=True)], labels=2)
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


def plain(frame: pl.DataFrame, title: str = "") -> list[Table]:
    """A frame as it is."""
    rows = [
        tuple("" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row)
        for row in frame.rows()
    ]
    return [Table(title, tuple(frame.columns), rows, labels=len(frame.columns))] if rows else []
