"""The report of a study: on the terminal, and as a page that needs nothing beside itself. Pure."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import yaml
from markupsafe import Markup
from rich import box
from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from tasks._world_corpus import MIXES

from . import figures, report_judges, report_tables, report_warmth
from .effects import BELIEFS
from .findings import Findings
from .problems import UNREADABLE
from .report_tables import NOTHING, NULL, Table
from .store import Store

ONE_BASE = "One base per world: intervals cover questions, not bases."
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def to_terminal(findings: Findings) -> list[RenderableType]:
    """The headline per model, what the intervals cover, and what went wrong; readable at 100 columns."""
    tables = [*report_tables.bases(findings), *report_tables.headline(findings), *report_judges.marked(findings)]
    shown: list[RenderableType] = [terminal(table) for table in tables]
    shown.append(Text(f"{NULL} {NOTHING}: the interval holds zero. Warmth in nats per token.", style="dim"))
    if coverage := _coverage(findings):
        shown.append(Text(coverage, style="dim"))
    shown += [Text(line, style="dim") for line in report_warmth.plateau_lines(findings)]
    shown += [Text(line, style="yellow") for line in _problem_lines(findings)]
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


def _problem_lines(findings: Findings) -> list[str]:
    by_kind = findings.problems.group_by("kind", maintain_order=True)
    return [f"{kind[0]}: {_problem(lines.to_dicts(), findings.personas)}" for kind, lines in by_kind]


def _problem(lines: list[dict[str, Any]], personas: Sequence[str]) -> str:
    """By persona where that is how it was counted, or else how often and in how many places."""
    if all(line["where"] in personas for line in lines):
        return ", ".join(f"{line['where']} {line['count']} of {line['of']}" for line in lines)
    return f"{sum(line['count'] for line in lines)} ({len(lines)} {'place' if len(lines) == 1 else 'places'})"


def _coverage(findings: Findings) -> str:
    worlds = findings.rates.drop_nulls("world")
    return ONE_BASE if len(worlds) and findings.bases.is_empty() else ""


def to_json(findings: Findings) -> str:
    """The findings' frames as one JSON object of lists of rows, for machines; without the example replies."""
    frames = {
        field.name: getattr(findings, field.name) for field in dataclasses.fields(findings) if field.name != "examples"
    }
    rows = {name: frame.to_dicts() for name, frame in frames.items() if isinstance(frame, pl.DataFrame)}
    return json.dumps({"personas": findings.personas, **rows}, ensure_ascii=False)


def to_html(findings: Findings, about: Mapping[str, object]) -> str:
    """The whole report as one page. `about` names the study (`study`) and whatever else describes the run, in order."""
    groups = report_tables.panels(findings)
    return _PAGES.get_template("report.html.j2").render(
        title=about.get("study", "Study"),
        about={key: _told(value) for key, value in about.items() if key != "study"},
        mixes=MIXES if findings.rates["world"].drop_nulls().len() else {},
        coverage=_coverage(findings),
        verdicts=report_tables.verdicts(findings),
        headline=report_tables.headline(findings),
        bases=report_tables.bases(findings),
        bases_figure=Markup(figures.bases(findings)) if len(findings.bases) else "",
        figures=[_figures(findings, models) for models in groups],
        tables=_tables(findings),
        examples=[
            (persona[0], rows.rows(named=True))
            for persona, rows in findings.examples.group_by("persona", maintain_order=True)
        ],
        trials=report_tables.plain(findings.trials),
        problems=report_tables.plain(findings.problems),
        problem_lines=_problem_lines(findings),
        nothing=NOTHING,
        null=NULL,
        unreadable=f"{UNREADABLE:.0%}".rstrip("%"),
    )


def _told(value: object) -> str:
    """A plain value as it is, anything with parts as YAML."""
    parts = isinstance(value, Mapping | list | tuple)
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).strip() if parts else str(value)


def _figures(findings: Findings, models: list[str]) -> dict[str, Markup]:
    """The drawings of models beside one another; they are ours, so they need no escaping."""
    return {
        "effects": Markup(figures.effects(findings, models)),
        "beliefs": Markup(figures.conditions(findings, models, "belief")),
        "contexts": Markup(figures.conditions(findings, models, "context")),
        "outcomes": Markup(figures.outcomes(findings, models)),
        "epochs": Markup(figures.by_epoch(findings, models)),
    }


def _tables(findings: Findings) -> list[tuple[str, list[Table]]]:
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
    details = [(title, report_tables.side_by_side(findings, by, rows, note)) for title, by, rows, note in chosen]
    return [
        ("How each persona did", report_tables.rates(findings)),
        *details,
        ("Warmth", report_warmth.warmth(findings)),
        ("Where warmth stops rising", report_warmth.plateaus(findings)),
        ("Warmth as measured and as rated by a model", report_warmth.agreement(findings)),
        ("What else differs in what was learnt", report_tables.balance(findings)),
        *((heading, shown) for heading, shown in report_judges.tables(findings) if shown),
    ]


def write(findings: Findings, about: Mapping[str, object], folder: Path) -> None:
    """Write `index.html` and the frames as Parquet, each aside and then renamed. Raises WarmthError on a full disk."""
    store = Store(folder)
    frames = {
        "effects": findings.effects,
        "rates": findings.rates,
        "warmth": findings.warmth,
        "plateaus": findings.plateaus,
        "trials": findings.trials,
    }
    if len(findings.bases):
        frames["bases"] = findings.bases
    for name in ("agreement", "calibration", "corrected", "flips", "balance", "variance", "same"):
        if len(getattr(findings, name)):
            frames[name] = getattr(findings, name)
    if len(findings.scorecard):
        frames["compare"] = findings.scorecard
    for name, frame in frames.items():
        with store.writing(f"{name}.parquet") as aside:
            frame.write_parquet(aside)
    page = to_html(findings, about)
    with store.writing("index.html") as aside:
        aside.write_text(page, encoding="utf-8")
