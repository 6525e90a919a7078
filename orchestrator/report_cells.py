"""Every cell of the study as compact JSON, for the page's own table that can be filtered and sorted. Pure."""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from .findings import Findings
from .report_tables import series

MOST = 40_000
"""Rows beyond which only every persona's last epoch is in the page; the Parquet files hold them all."""

LABELS = ["model", "persona", "epoch", "task", "context", "belief", "judge"]
FILTERS = ["model", "persona", "baseline", "epoch", "task", "context", "belief", "judge"]


@dataclass(frozen=True)
class View:
    """A table of cells: its heading, and its columns as name, title and the decimals to show."""

    name: str
    title: str
    about: str
    columns: tuple[tuple[str, str, int], ...]


RATES = View(
    "rates",
    "How each persona did",
    "% of scored replies, with 95 % intervals",
    (
        ("n", "n", 0),
        ("n_questions", "questions", 0),
        ("n_seeds", "seeds", 0),
        ("error_pct", "error %", 1),
        ("error_pct_low", "low", 1),
        ("error_pct_high", "high", 1),
        ("agrees_pct", "agrees %", 1),
        ("agrees_pct_low", "low", 1),
        ("agrees_pct_high", "high", 1),
        ("refused", "refused", 0),
        ("unscored", "unscored", 0),
        ("errors", "failed", 0),
    ),
)
EFFECTS = View(
    "effects",
    "What a persona changes",
    "percentage points against the baseline, with 95 % intervals over questions",
    (
        ("n", "pairs", 0),
        ("n_questions", "questions", 0),
        ("n_seeds", "seeds", 0),
        ("effect_pp", "error, pp", 1),
        ("ci_low_pp", "low", 1),
        ("ci_high_pp", "high", 1),
        ("recipe_low_pp", "recipe low", 1),
        ("recipe_high_pp", "recipe high", 1),
        ("agrees_effect_pp", "agrees, pp", 1),
        ("agrees_ci_low_pp", "low", 1),
        ("agrees_ci_high_pp", "high", 1),
        ("p_mcnemar", "p (McNemar)", 4),
        ("q_mcnemar", "q (BH)", 4),
        ("unscored", "unscored", 0),
        ("errors", "failed", 0),
    ),
)


def cells(findings: Findings) -> str:
    """Both tables as JSON that may stand in a page's script element: no `<` is left in it."""
    views = [_view(RATES, series(findings.rates, findings)), _view(EFFECTS, series(findings.effects, findings))]
    told = json.dumps([view for view in views if view["length"]], ensure_ascii=False, separators=(",", ":"))
    return told.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _view(view: View, found: pl.DataFrame) -> dict[str, Any]:
    shown = _few_enough(found)
    labels = [name for name in FILTERS if name in shown.columns]
    columns = [each for each in view.columns if each[0] in shown.columns and shown[each[0]].count()]
    named = shown.with_columns(persona="series", epoch=pl.col("epoch").map_elements("{:g}".format, pl.String))
    return {
        "name": view.name,
        "title": view.title,
        "about": view.about + ("" if len(shown) == len(found) else "; each persona's last epoch only"),
        "length": len(shown),
        "labels": [_coded(name, named[name].fill_null("")) for name in labels],
        "numbers": [
            {"title": title, "places": places, "values": _numbers(shown[name], places)}
            for name, title, places in columns
        ],
    }


def _few_enough(found: pl.DataFrame) -> pl.DataFrame:
    if len(found) <= MOST:
        return found
    return found.filter(pl.col("epoch") == pl.col("epoch").max().over("model", "persona", "dose", "settings"))


def _coded(name: str, values: pl.Series) -> dict[str, Any]:
    """A column of words: each word once, and which of them stands in each row."""
    words = values.unique(maintain_order=True).to_list()
    codes = values.replace_strict(words, range(len(words)), return_dtype=pl.Int32)
    return {"title": name, "words": words, "codes": codes.to_list()}


def _numbers(values: pl.Series, places: int) -> list[float | int | None]:
    if places:
        return values.cast(pl.Float64).round(places).to_list()
    return values.cast(pl.Int64).to_list()
