"""The report of a run's folder: of a planned study, of imported replies, or of both."""

import dataclasses
from collections import Counter
from typing import Any

import polars as pl

from . import filing, findings, frames, labels, report, rewritten, withheld
from .answers import kept
from .findings import Findings
from .left import Left
from .onfile import OnFile
from .settings_warmth import Warmth


def report_on(found: OnFile, sensitive: bool = False) -> Findings:
    """The findings of what is on file, written to `report/` in the run's folder; for `sensitive` see `withheld`."""
    plan, store, answers = found.plan, found.store, kept(found.answers, found.analysis)
    planned = found.planned if found.planned is not None else found.answers.clear()
    served = Left(plan, store).served() if plan else {}
    warmth = frames.warmth(plan, store, planned, served) if plan else frames.no_warmth()
    share = ((plan and plan.study.warmth) or Warmth(scorer="none")).plateau
    built = findings.build(
        answers,
        warmth,
        frames.trial_rows(plan, store) if plan else frames.no_trials(),
        found.personas,
        found.refusing_is_right,
        share,
        labels=labels.marked(store),
        restyled=frames.restyled(plan, store) if plan else None,
        analysis=found.analysis,
    )
    made = dataclasses.replace(
        built,
        examples=withheld.hidden(built.examples, sensitive),
        balance=frames.balance(plan, store) if plan else pl.DataFrame(),
        problems=pl.concat([built.problems, _excluded(found, answers), _judged_apart(answers)]),
    )
    report.write(made, about(found), store.path("report"))
    return made


def about(found: OnFile) -> dict[str, Any]:
    """What a reader must know about how the figures came about."""
    told: dict[str, Any] = {"study": found.name}
    if found.plan:
        told |= {**filing.about(found.plan, found.store), **rewritten.about(found.plan, found.store)}
    if found.pieces:
        told["imported"] = [piece.told() for piece in found.pieces]
    return told


def _excluded(found: OnFile, answers: pl.DataFrame) -> pl.DataFrame:
    """What the analysis excludes, as a line of problems."""
    lost, of = found.answers.height - answers.height, found.answers.height
    told = "; ".join(f"{name} {', '.join(values)}" for name, values in found.analysis.exclusions.items())
    return _lines([("excluded replies", told, lost, of, "by the study's own analysis.exclusions")] if lost else [])


def _judged_apart(answers: pl.DataFrame) -> pl.DataFrame:
    """Personas that a judge has no verdicts on, though it has on others: nothing compares them there."""
    by_judge = answers.group_by("judge").agg(pl.col("persona").unique())
    everyone = set(answers["persona"])
    missing = [
        (persona, judge)
        for judge, there in by_judge.sort("judge").iter_rows()
        for persona in sorted(everyone - set(there))
    ]
    of = Counter(answers["persona"])
    return _lines(
        [
            (
                "mixed judges",
                persona,
                of[persona],
                of[persona],
                f"no verdicts by {judge}; compared within a judge alone",
            )
            for persona, judge in missing
        ]
    )


def _lines(rows: list[tuple[str, str, int, int, str]]) -> pl.DataFrame:
    schema = {"kind": pl.String, "where": pl.String, "count": pl.Int64, "of": pl.Int64, "detail": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")
