"""What other tools read, out of a run or a bundle: one evaluation for each subject and task, a row at a time."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from . import evidence, published, rates, reporting, tables, withheld
from .errors import WarmthError
from .evidence import Evidence
from .imported import slug
from .onfile import OnFile

Row = dict[str, Any]

NOT_HERE = "(not passed on)"
"""Stands where a text is needed and there is none: a bundle leaves out what a licence forbids."""


@dataclass(frozen=True)
class Evaluation:
    """One subject's replies to one task, and what the judges make of them."""

    study: str
    task: str
    who: Row
    "What the rows have in common: subject, model, persona, trial, epoch, seed, dose, settings, adapter."
    model: Mapping[str, Any]
    "The base model's settings; empty where replies were imported."
    made: datetime
    rows: pl.DataFrame
    "One row per reply and judge, as `rates.counted` gives them; what may not be shown is covered."
    targets: Mapping[str, tuple[str, ...]]
    "The right answers by the question's id, as far as they are known and may be shown."

    @property
    def subject(self) -> str:
        return str(self.who["subject"])

    @property
    def name(self) -> str:
        """A file's name that no other evaluation of the run has."""
        return f"{slug(self.subject)}_{slug(self.task)}"

    def replies(self) -> Iterator[tuple[Row, list[Row]]]:
        """Every reply once, and its rows: one for each judge."""
        by_reply = itertools.groupby(self.rows.iter_rows(named=True), key=lambda row: tuple(map(row.get, tables.KEY)))
        for _, found in by_reply:
            rows = list(found)
            yield rows[0], rows


WHO = ("subject", "model", "persona", "trial", "epoch", "seed", "dose", "settings", "adapter")


def evaluations(folder: str | Path, sensitive: bool = False) -> Iterator[Evaluation]:
    """The evaluations of a run or a bundle; replies to sensitive tasks are covered unless `sensitive`."""
    found = reporting.of_folder(folder)
    answers = rates.counted(found.answers, found.refusing_is_right).sort(*tables.KEY, "judge")
    shown = withheld.hidden(answers, sensitive).with_columns(pl.col("prompt").fill_null(NOT_HERE))
    models = {model["name"]: model for model in found.about.get("settings", {}).get("models", ())}
    for (_, task), rows in shown.group_by("subject", "task", maintain_order=True):
        who = {name: rows[name][0] for name in WHO}
        covered = withheld.marked(str(task)) and not sensitive
        targets = {} if covered else _targets(found, str(task))
        yield Evaluation(found.name, str(task), who, models.get(who["model"], {}), _made(found), rows, targets)


def _made(found: Evidence) -> datetime:
    """When: the day that the run, or the bundle, says."""
    return datetime.fromisoformat(found.about.get("date", "1970-01-01")).replace(tzinfo=UTC)


def _targets(found: Evidence, task: str) -> dict[str, tuple[str, ...]]:
    if evidence.is_there(found.folder):
        file = found.folder / "questions" / f"{task}.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
        return {row["id"]: (row["answer"], *row["aliases"]) for row in rows if "answer" in row}
    plan = OnFile.of(found.folder).plan
    try:
        asked = plan.asked[task].samples if plan and task in plan.asked else ()
    except WarmthError:
        asked = ()  # they cannot be had here
    return {sample.id: (sample.answer, *sample.aliases) for sample in asked}


def program() -> str:
    """This program's version."""
    return version("warmth")


def scored(row: Row) -> bool | None:
    """Whether a reply is no error; None if it takes no part in the error rate."""
    return None if not row["scored"] else not row["wrong"]


def source(task: str) -> str:
    """The task's name among ours, whatever it was imported as."""
    return published.task(task)
