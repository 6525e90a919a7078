"""What was asked, what was left out, what it took and where it comes from, for the page. Pure."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import yaml

import tasks

from .findings import Findings
from .report_replies import BELIEFS
from .report_tables import Table, judges, plain

APART = (
    "study",
    "settings",
    "costs",
    "times",
    "models",
    "subjects",
    "commit",
    "versions",
    "date",
    "counts",
    "exploratory",
)
"""What is known of a run that has a place of its own on the page; anything else is listed as it is."""

Named = list[tuple[str, str]]


def asked(findings: Findings, about: Mapping[str, Any]) -> dict[str, Any]:
    """The study in words and numbers: its models, personas and tasks with what they are, its conditions, its size."""
    cells = _cells(findings)
    personas = {each["name"]: each["about"] for each in about.get("settings", {}).get("personas", ())}
    return {
        "models": cells["model"].unique().sort().to_list(),
        "personas": [(name, personas.get(name, "")) for name in findings.personas],
        "tasks": [(name, _about(name)) for name in cells["task"].unique().sort()],
        "contexts": _in_order(cells["context"], tasks.CONTEXTS),
        "beliefs": [BELIEFS.get(name, name) for name in _in_order(cells["belief"], tasks.BELIEFS)],
        "numbers": _numbers(findings, cells),
        "judges": judges(findings),
    }


def _cells(findings: Findings) -> pl.DataFrame:
    """The rates that are no aggregates, as one judge has them."""
    single = [pl.col("task") != "all", pl.col("context") != "all", ~pl.col("belief").is_in(["all", "asserts+denies"])]
    return findings.rates.filter(*single, judge=judges(findings)[0])


def _about(task: str) -> str:
    return tasks.load(task).about if task in tasks.names() else ""


def _in_order(found: pl.Series, known: tuple[str, ...]) -> list[str]:
    names = set(found)
    return [*(name for name in known if name in names), *sorted(names - set(known))]


def _numbers(findings: Findings, cells: pl.DataFrame) -> Named:
    asked = sum(cells.group_by("task").agg(pl.col("n_questions").max())["n_questions"].to_list())
    subjects = cells.select("model", "persona", "epoch", "dose", "settings").n_unique()
    replies = sum(cells["n"].to_list()) + sum(cells["unscored"].to_list())
    seeds = int(str(cells["n_seeds"].max() or 0))
    counts = [
        (cells["model"].n_unique(), "model"),
        (len(findings.personas), "persona"),
        (seeds, "training seed"),
        (subjects, "version asked"),
        (asked, "question"),
        (replies, "reply"),
    ]
    return [(f"{count:,}", _plural(word, count)) for count, word in counts if count]


def _plural(word: str, count: int) -> str:
    several = {"reply": "replies", "version asked": "versions asked"}
    return word if count == 1 else several.get(word, f"{word}s")


def left_out(findings: Findings) -> list[Table]:
    """By model and persona: how many replies were scored, and what became of the others."""
    cells = _cells(findings).group_by("model", "persona", maintain_order=True)
    counts = cells.agg(pl.col("n", "refused", "unscored", "errors").sum())
    rows = [
        (
            row["model"],
            row["persona"],
            *(
                f"{count:,}"
                for count in (row["n"] + row["unscored"], row["n"], row["unscored"], row["errors"], row["refused"])
            ),
        )
        for row in counts.sort("model", maintain_order=True).rows(named=True)
    ]
    heads = ("model", "persona", "replies", "scored (n)", "not scored", "of these failed", "refusals")
    note = (
        "only scored replies take part in figures; a reply is not scored if it failed, if there is no verdict on it, "
        "or if it is a refusal (where refusing is not right)"
    )
    return [Table("", heads, rows, labels=2, note=note)] if rows else []


def took(about: Mapping[str, Any]) -> dict[str, list[Table]]:
    """Money and time."""
    counts = dict.fromkeys(("calls", "tokens_in", "tokens_out"), ",")
    costs = {"purpose": "", "model": "", "endpoint": "", **counts, "usd": ",.2f"}
    times = {
        "model": "",
        "persona": "",
        "replies": ",",
        "tokens_in": ",",
        "tokens_out": ",",
        "seconds_per_reply": ".2f",
        "trials": "",
        "training_seconds": ",.0f",
    }
    note = "seconds per reply: the middle reply's, its waiting included; training seconds: of all trials together"
    return {
        "costs": _table(about.get("costs"), costs, 3, "usd: nothing where a price is not known"),
        "times": _table(about.get("times"), times, 2, note),
    }


def _table(frame: pl.DataFrame | None, forms: Mapping[str, str], labels: int, note: str) -> list[Table]:
    """Some columns of a frame, each in its form."""
    if frame is None or frame.is_empty():
        return []
    rows = [
        tuple("" if cell is None else f"{cell:{form}}" for cell, form in zip(row, forms.values(), strict=True))
        for row in frame.select(*forms).rows()
    ]
    return [Table("", tuple(name.replace("_", " ") for name in forms), rows, labels, note)]


def total(about: Mapping[str, Any]) -> str:
    """What endpoints were paid, in one sentence."""
    spent = about.get("costs")
    if not isinstance(spent, pl.DataFrame) or spent.is_empty():
        return "No endpoint was paid: everything ran on this machine, or nothing was counted."
    known, unknown = float(spent["usd"].sum()), spent["usd"].null_count()
    return f"${known:,.2f} were paid to endpoints" + (
        f"; the price of {unknown} lines is not known." if unknown else "."
    )


def provenance(about: Mapping[str, Any]) -> dict[str, list[Table]]:
    """What models and adapters the figures are of."""
    return {name: plain(about[name]) if name in about else [] for name in ("models", "subjects")}


def rest(about: Mapping[str, Any]) -> dict[str, str]:
    """What else is known of a run, by heading."""
    return {key: told(value) for key, value in about.items() if key not in APART}


def told(value: object) -> str:
    """A plain value as it is, anything with parts as YAML."""
    parts = isinstance(value, Mapping | list | tuple)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).strip() if parts else str(value)
