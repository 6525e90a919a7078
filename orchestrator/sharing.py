"""What of a run may be passed on: texts by their licences, nothing said to sensitive tasks, no path and no secret."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

import polars as pl

import tasks
from tasks._task import OURS, UNCLEAR, Licence

from . import published, withheld
from .config import Study

Texts = Literal["none", "licensed", "all"]
"""Whose texts go along: nobody's (ids only), those whose licence lets them, or everybody's."""

HIDDEN = "(hidden)"
"""Stands for what looks like a secret of whoever bundles."""

_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


_LOCAL = r"^(?:/|~/)[^\n]*?([^/\n]+)/?$"
"""A file or folder of this machine, and its name."""


class Row(NamedTuple):
    """One line of the table of licences."""

    what: str
    where: str
    licence: str
    here: str


@dataclass(frozen=True)
class Sharing:
    """What is passed on of a study; `study` is None where replies were only imported."""

    study: Study | None
    texts: Texts = "licensed"
    sensitive: bool = False

    def passes(self, licence: Licence) -> bool:
        """Whether texts under a licence go along."""
        return self.texts == "all" or (self.texts == "licensed" and licence.shared)

    def task(self, name: str) -> Licence:
        """A task's licence; that of a task that we do not know is unclear."""
        ours = published.task(name)
        return tasks.load(ours).licence if ours in tasks.names() else UNCLEAR

    @property
    def chats(self) -> Licence:
        """The licence of the conversations."""
        return OURS if self.study is None or self.study.data.source == "lab" else UNCLEAR

    def told(self, rows: pl.DataFrame) -> pl.DataFrame:
        """A frame as it is passed on: without prompts whose licence forbids it, sensitive replies, and secrets."""
        seen = self._licensed(withheld.hidden(rows, self.sensitive, instead=None)) if "task" in rows.columns else rows
        texts = [name for name, kind in seen.schema.items() if kind == pl.String] if self.secrets else []
        return seen.with_columns(pl.col(texts).str.replace_many(self.secrets, [HIDDEN])) if texts else seen

    def _licensed(self, rows: pl.DataFrame) -> pl.DataFrame:
        kept = [name for name in rows["task"].unique() if self.passes(self.task(name))]
        shown = pl.col("task").is_in(kept)
        asked = [name for name in ("prompt", "pushback") if name in rows.columns]
        return rows.with_columns(pl.when(shown).then(name).alias(name) for name in asked)

    @cached_property
    def secrets(self) -> list[str]:
        """The values of environment variables that hold keys, by their names or because an endpoint needs them."""
        named = set(re.findall(r'"api_key_env": ?"(\w+)"', self.study.model_dump_json()) if self.study else ())
        values = {value for name, value in os.environ.items() if name in named or _NAMES.search(name)}
        return sorted((value for value in values if len(value) >= 8), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """A text without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    # ----------------------------------------------------------------- the table
    def licences(self, names: list[str], rewritten: bool) -> list[Row]:
        """What stands under which terms, and whether it is in the bundle; `names` are the tasks'."""
        rows = [Row("this program, its own questions and sentences", "warmth", OURS.name, "what a study uses of them")]
        rows += [self._of_task(name) for name in names]
        if self.study:
            rows += self._of_study(self.study, rewritten)
        rows.append(Row("replies", "the models", "that of each model's output", "in full, but to sensitive tasks"))
        return [*rows, Row("figures, tables, adapters", "this study", "for its authors to say", "in full")]

    def _of_task(self, name: str) -> Row:
        known = published.task(name) in tasks.names()
        task, licence = (tasks.load(published.task(name)) if known else None), self.task(name)
        where = task.samples.name if task and not callable(task.samples) else "this program" if task else "imported"
        here = "in full" if self.passes(licence) else "ids only"
        if task and task.sensitive and not self.sensitive:
            here = "ids and outcomes only: sensitive"
        return Row(f"questions of {name}", where, licence.name, here)

    def _of_study(self, study: Study, rewritten: bool) -> list[Row]:
        data, pack = study.data, study.evaluation.pack
        here = "in full" if self.passes(self.chats) else "ids only"
        rows = [Row("conversations", "the lab" if data.source == "lab" else public(data.source), self.chats.name, here)]
        if rewritten:
            rows.append(
                Row("conversations as rewritten", "the rewriter", f"as the conversations: {self.chats.name}", here)
            )
        if pack:
            rows.append(Row("context and belief sentences", public(pack), "that of the file", "in full"))
        for model in study.models:
            where = "the lab" if model.lab else public(str(model.hosted.model if model.hosted else model.path))
            terms = OURS.name if model.lab else "see its own; adapters may fall under it"
            rows.append(Row(f"model {model.name}", where, terms, "no"))
        return rows


def public(path: str) -> str:
    """A path without the folders of whoever bundles; a data set's or a model's name as it is."""
    return PurePath(path).name if path.startswith(("/", "~", ".")) else path


def settings(study: Study) -> dict[str, Any]:
    """A study's settings as they are passed on: without where and how fast it ran, and without local folders."""
    return dict(pathless(study.model_dump(mode="json", exclude={"resources"})))


def pathless(value: Any) -> Any:
    """The same with files and folders of this machine by their names alone, in whatever it holds."""
    if isinstance(value, Mapping):
        return {name: pathless(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [pathless(each) for each in value]
    if isinstance(value, pl.DataFrame):
        return value.with_columns(pl.selectors.string().str.replace(_LOCAL, "$1"))
    return re.sub(_LOCAL, r"\1", value) if isinstance(value, str) else value
