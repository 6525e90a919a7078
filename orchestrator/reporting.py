"""The report of a run's folder (of a planned study, of imported replies, or of both), or of a bundle of it."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from . import (
    attest_files,
    comparison,
    evidence,
    filing,
    findings,
    frames,
    labels,
    likeness,
    lock,
    provenance,
    rates,
    report,
    rewritten,
    spent,
    withheld,
)
from .answers import kept
from .evidence import Evidence
from .findings import Findings
from .onfile import OnFile
from .settings_warmth import Warmth
from .store import Store
from .tables import Balance, Restyled


def of_folder(folder: str | Path) -> Evidence:
    """What is on file in a run's folder, or in a bundle. Raises WarmthError if it is neither, or has no replies."""
    place = Path(folder).absolute()
    return evidence.read(place) if evidence.is_there(place) else gather(OnFile.of(place))


def gather(found: OnFile) -> Evidence:
    """All that a report on a run is made of."""
    plan, store = found.plan, found.store
    planned = found.planned if found.planned is not None else found.answers.clear()
    return Evidence(
        folder=store.folder,
        name=found.name,
        answers=found.answers,
        warmth=frames.warmth(plan, store, planned, found.served) if plan else frames.no_warmth(),
        trials=frames.trial_rows(plan, store) if plan else frames.no_trials(),
        labels=labels.marked(store),
        restyled=frames.restyled(plan, store) if plan else frames.frame(Restyled, []),
        balance=frames.balance(plan, store) if plan else frames.frame(Balance, []),
        attested=found.attested,
        personas=found.personas,
        refusing_is_right=found.refusing_is_right,
        plateau=((plan and plan.study.warmth) or Warmth(scorer="none")).plateau,
        analysis=found.analysis,
        likeness=likeness.of(found),
        about=about(found),
    )


def report_on(found: Evidence, sensitive: bool = False) -> Findings:
    """The findings of what there is, written to `report/` in its folder; for `sensitive` see `withheld`."""
    made, told = made_of(found, sensitive)
    report.write(made, told, found.folder / "report")
    return made


def made_of(found: Evidence, sensitive: bool = False) -> tuple[Findings, dict[str, Any]]:
    """The findings of what there is, and what else the page says."""
    answers = kept(found.answers, found.analysis)
    built = findings.build(
        answers,
        found.warmth,
        found.trials,
        found.personas,
        found.refusing_is_right,
        found.plateau,
        labels=found.labels,
        restyled=found.restyled,
        analysis=found.analysis,
    )
    made = dataclasses.replace(
        built,
        examples=withheld.left_out(built.examples, sensitive),
        balance=found.balance,
        scorecard=_scorecard(found, answers, built.warmth),
        problems=pl.concat(
            [
                built.problems,
                attest_files.problems(found.attested),
                _excluded(found, answers),
                _judged_apart(answers),
                _exploratory(found),
            ]
        ),
    )
    return made, {**found.about, "times": spent.time(answers, found.trials)}


def compare(found: Evidence) -> pl.DataFrame:
    """The scorecard against the published study alone, written to `report/compare.parquet`; see `comparison`."""
    rows = _scorecard(found, kept(found.answers, found.analysis), rates.mean_warmth(found.warmth))
    if len(rows):
        with Store(found.folder).writing("report", "compare.parquet") as aside:
            rows.write_parquet(aside)
    return rows


def _scorecard(found: Evidence, answers: pl.DataFrame, warmth: pl.DataFrame) -> pl.DataFrame:
    counted = rates.counted(answers, found.refusing_is_right)
    on_scale = warmth if found.likeness.warmth else warmth.clear()
    return likeness.kinds(found.likeness, comparison.scorecard(counted, on_scale, found.analysis.margin_pp))


def about(found: OnFile) -> dict[str, Any]:
    """What a reader must know about how the figures came about."""
    told: dict[str, Any] = {"study": found.name, **provenance.here(), "costs": spent.money(found.store)}
    if found.plan:
        told |= {
            **filing.about(found.plan, found.store),
            **rewritten.about(found.plan, found.store),
            "models": provenance.of_models(found.plan),
            "subjects": provenance.of_subjects(found.plan, found.served),
        }
        told |= attest_files.about(found.attested, found.plan)
    if lines := lock.deviations(found.plan, found.analysis, found.store):
        told["exploratory"] = lines
    if found.pieces:
        told["imported"] = [piece.told() for piece in found.pieces]
    return told


def _excluded(found: Evidence, answers: pl.DataFrame) -> pl.DataFrame:
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


def _exploratory(found: Evidence) -> pl.DataFrame:
    """What is not as it was before the first reply; see `lock`."""
    lines: Sequence[str] = found.about.get("exploratory", ())
    return _lines([("later than the lock, so exploratory", line.partition(":")[0], 1, 1, line) for line in lines])


def _lines(rows: list[tuple[str, str, int, int, str]]) -> pl.DataFrame:
    schema = {"kind": pl.String, "where": pl.String, "count": pl.Int64, "of": pl.Int64, "detail": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")
