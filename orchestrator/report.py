"""The report of a study: on the terminal, and as a page that needs nothing beside itself. Pure."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich import box
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from . import report_headline, report_judges, report_page, report_pushback, report_warmth
from .findings import Findings
from .report_tables import NOTHING, NULL, Table, coverage, problem_lines
from .store import Store

ALWAYS = ("effects", "rates", "warmth", "plateaus", "trials")
IF_ANY = (
    *("bases", "by_seed", "agreement", "calibration", "corrected", "flips", "balance", "variance", "same"),
    *("pushback", "pushback_effects", "combined", "combined_effects"),
)
"""The frames that are written as Parquet."""


def to_terminal(findings: Findings) -> list[RenderableType]:
    """The headline per model, what the intervals cover, and what went wrong; readable at 100 columns."""
    tables = [
        *report_headline.bases(findings),
        *report_headline.headline(findings),
        *report_headline.same(findings, "plain", "A check: plain, trained with another seed"),
        *report_judges.marked(findings),
        *report_pushback.tables(findings),
    ]
    shown: list[RenderableType] = [terminal(table) for table in tables]
    shown.append(Text(f"{NULL} {NOTHING}: the interval holds zero. Warmth in nats per token.", style="dim"))
    if covered := coverage(findings):
        shown.append(Text(covered, style="dim"))
    shown += [Text(line, style="dim") for line in report_warmth.plateau_lines(findings)]
    shown += [Text(line, style="yellow") for line in problem_lines(findings)]
    return shown


def terminal(table: Table) -> RichTable:
    """A table for the terminal."""
    shown = RichTable(
        title=table.title,
        caption=table.note,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    for place, head in enumerate(table.heads):
        shown.add_column(
            head,
            justify="left" if place < table.labels else "right",
            no_wrap=place >= table.labels,
            min_width=9 if place < table.labels else None,
        )
    for row in table.brief:
        shown.add_row(*(Text(cell, style="dim" if cell.startswith(NULL) else "") for cell in row))
    return shown


def to_json(findings: Findings) -> str:
    """The findings' frames as one JSON object of lists of rows, for machines; without the example replies."""
    frames = {
        field.name: getattr(findings, field.name) for field in dataclasses.fields(findings) if field.name != "examples"
    }
    rows = {name: frame.to_dicts() for name, frame in frames.items() if isinstance(frame, pl.DataFrame)}
    return json.dumps({"personas": findings.personas, **rows}, ensure_ascii=False)


def to_html(findings: Findings, about: Mapping[str, Any]) -> str:
    """The whole report as one page; see `report_page`."""
    from . import report_charts  # matplotlib comes with it, which whoever draws nothing need not wait for

    return report_page.to_html(findings, about, report_charts.charts(findings))


def write(findings: Findings, about: Mapping[str, Any], folder: Path) -> None:
    """Write `index.html`, `figures/` and the frames as Parquet, each aside and then renamed.

    Raises WarmthError on a full disk.
    """
    from . import report_charts

    store, drawn = Store(folder), report_charts.charts(findings)
    write_tables(findings, store)
    with store.writing("figures") as aside:
        report_charts.save(drawn, aside)
    page = report_page.to_html(findings, about, drawn)
    with store.writing("index.html") as aside:
        aside.write_text(page, encoding="utf-8")


def write_tables(findings: Findings, store: Store) -> None:
    """The frames as Parquet; those of an earlier report that this one does not have are removed."""
    frames = written(findings)
    for name, frame in frames.items():
        with store.writing(f"{name}.parquet") as aside:
            frame.write_parquet(aside)
    for name in {*IF_ANY, "compare"} - frames.keys():
        store.path(f"{name}.parquet").unlink(missing_ok=True)


def written(findings: Findings) -> dict[str, pl.DataFrame]:
    """The frames that are written as Parquet, by the names of their files."""
    names = (*ALWAYS, *(each for each in IF_ANY if len(getattr(findings, each))))
    scorecard = {"compare": findings.scorecard} if len(findings.scorecard) else {}
    return {**{name: getattr(findings, name) for name in names}, **scorecard}
