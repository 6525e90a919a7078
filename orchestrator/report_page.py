"""The report as one page that needs nothing beside itself, for people who have never seen the project. Pure."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2
import polars as pl
from markupsafe import Markup

from tasks._world_corpus import MIXES

from . import examples, report_cells, report_details, report_facts, report_headline, report_sentences, scorecard_text
from . import report_replies as replies
from .findings import Findings
from .problems import UNREADABLE
from .report_tables import NOTHING, NULL, coverage, plain, problem_lines

if TYPE_CHECKING:
    from .figures import Chart

T = TypeVar("T")

TEMPLATES = Path(__file__).parent / "templates"
_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
BEFORE = ("tasks left out", "questions left out", "conversations dropped", "replies that failed a check")
"""What is told of things that were left out before anything was asked."""


def to_html(findings: Findings, about: Mapping[str, Any], charts: "Sequence[Chart]") -> str:
    """The whole report as one page. `about` names the study (`study`) and whatever else describes the run."""
    findings, about = _steady(vars(findings), Findings), _steady(about, dict)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    rest = report_facts.rest(about)
    return _PAGES.get_template("report.html.j2").render(
        title=about.get("study", "Study"),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        cells=Markup(report_cells.cells(findings)),
        asked=report_facts.asked(findings, about),
        questions=report_sentences.questions(findings),
        headline=report_headline.headline(findings),
        bases=report_headline.bases(findings),
        same=report_headline.same(findings),
        charts=[(chart, [(model, Markup(drawing)) for model, drawing in chart.inline()]) for chart in charts],
        undrawn=_undrawn(charts),
        scorecard=list(scorecard_text.tables(findings.scorecard)),
        tables=report_details.tables(findings),
        rule=examples.rule(findings.primary.persona, findings.primary.baseline),
        prompts=replies.prompts(findings),
        withheld=replies.withheld(findings),
        left_out=report_facts.left_out(findings),
        problems=plain(findings.problems),
        problem_lines=problem_lines(findings),
        dropped={key: rest.pop(key) for key in BEFORE if rest.get(key)},
        rest=rest,
        took=report_facts.took(about),
        total=report_facts.total(about),
        trials=plain(findings.trials),
        mixes=MIXES if findings.rates["world"].drop_nulls().len() else {},
        provenance=report_facts.provenance(about),
        exploratory=about.get("exploratory", ()),
        settings=report_facts.told(about["settings"]) if "settings" in about else "",
        counts=report_facts.told(about["counts"]) if "counts" in about else "",
        date=about.get("date"),
        commit=about.get("commit"),
        versions=about.get("versions", {}),
        coverage=coverage(findings),
        nothing=NOTHING,
        null=NULL,
        unreadable=f"{UNREADABLE:.0%}".rstrip("%"),
    )


def _steady(parts: Mapping[str, Any], kind: Callable[..., T]) -> T:
    """The same with frames whose numbers are rounded where sums in another order differ.

    So a figure that is a tie in the decimals that are shown, or zero, is printed alike each time the page is made.
    """
    number = pl.selectors.float()
    close = pl.when(number.abs() < 1e-12).then(0.0).otherwise(number.round_sig_figs(12)).name.keep()
    return kind(
        **{name: part.with_columns(close) if isinstance(part, pl.DataFrame) else part for name, part in parts.items()}
    )


UNDRAWN = {
    "effects": "No two personas were compared, so no difference is drawn.",
    "epochs": "One epoch was looked at, so nothing is drawn along the training.",
    "doses": "One dose was trained, so there is no dose-response.",
    "warmth-and-error": "Warmth was not measured, so it is not set against error.",
    "seeds": "Every adapter was trained once, so the spread between training seeds is not known.",
}
"""What is said of figures that cannot be drawn."""


def _undrawn(charts: "Sequence[Chart]") -> list[str]:
    drawn = {chart.name for chart in charts}
    return [words for name, words in UNDRAWN.items() if name not in drawn]
