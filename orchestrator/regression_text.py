"""A regression as text: on the terminal, and as JSON."""

import dataclasses
import json
from typing import Any

import polars as pl
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .regression import Fit

Row = dict[str, Any]


def to_json(fit: Fit) -> str:
    """Everything that a fit says, as one JSON document; what has no figure is null."""
    content = {
        name: value.to_dicts() if isinstance(value, pl.DataFrame) else value
        for name, value in ((field.name, getattr(fit, field.name)) for field in dataclasses.fields(fit))
    }
    return json.dumps(content, indent=1, allow_nan=False)


def to_terminal(fit: Fit) -> list[RenderableType]:
    """What was fitted to what, coefficients, effects in points, and what one must know to read them."""
    left_out = ", ".join(f"{why} {count:,}" for why, count in fit.left_out.items())
    head = f"{fit.n:,} replies, {fit.wrong:,} wrong; judge {fit.judge}; personas {', '.join(fit.personas)}"
    parts: list[RenderableType] = [
        Text(f"{fit.name}: {fit.formula}" if fit.name else fit.formula, style="bold"),
        Text(f"{head}. Left out: {left_out or 'none'}."),
        _coefficients(fit),
    ]
    if len(fit.marginal_effects_pp):
        parts.append(_effects(fit))
    return [*parts, *(Text(note, style="dim") for note in fit.notes)]


def _coefficients(fit: Fit) -> Table:
    errors = f"clustered by {fit.cluster} ({fit.clusters:,})" if fit.cluster else "as published, not clustered"
    table = _table(f"Coefficients, log-odds; errors {errors}", ("term", "estimate", "se", "z", "p"))
    checked = {} if fit.check is None else {row["term"]: row for row in fit.check.rows(named=True)}
    if fit.check is not None:
        table.add_column("bootstrap se", justify="right")
        table.add_column("its 95 %", justify="right", no_wrap=True)
    for row in fit.coefficients.rows(named=True):
        if row["note"]:
            _add(table, row["term"], row["note"])
            continue
        more = _checked(checked.get(row["term"])) if fit.check is not None else ()
        shown = (_number(row["estimate"], "+.4f"), _number(row["se"], ".4f"), _number(row["z"], "+.2f"))
        _add(table, row["term"], *shown, _probability(row["p"]), *more)
    return table


def _checked(row: Row | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    return _number(row["se"], ".4f"), f"[{_number(row['low'], '+.3f')}, {_number(row['high'], '+.3f')}]"


def _effects(fit: Fit) -> Table:
    heads = ("change", "where", "n", "points", "95 %", "log-odds", "p")
    table = _table("What it does to the share of errors, percentage points", heads, labels=2)
    for row in fit.marginal_effects_pp.rows(named=True):
        change = f"{row['variable']}: {row['reference']} > {row['value']}".replace(":  >", ":")
        if row["estimate"] is None:
            _add(table, change, row["where"], f"{row['n']:,}", "unknown")
            continue
        ends = f"[{_number(row['low'], '+.2f')}, {_number(row['high'], '+.2f')}]"
        points, log_odds = _number(row["estimate"], "+.2f"), _number(row["log_odds"], "+.3f")
        _add(table, change, row["where"], f"{row['n']:,}", points, ends, log_odds, _probability(row["p"]))
    return table


def _table(title: str, heads: tuple[str, ...], labels: int = 1) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < labels else "right", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    """A row as it is: brackets in the names of terms are no markup."""
    table.add_row(*map(Text, cells))


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _probability(value: float | None) -> str:
    return "-" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
