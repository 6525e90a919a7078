"""A run's replies against its plan: what was asked of whom, with which weights, under which certificate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from . import evaluate, frames, tables, trials
from .checking_notes import Notes
from .checking_tables import AGAIN, Tables
from .errors import WarmthError
from .evaluate import Served
from .plan import Plan, Question, Unit
from .store import Store
from .tables import Reply

ON = ("sample", "context", "belief", "draw")
"""What tells one row of a unit from another."""
FOLLOWS = ("prompt", "row_seed", "prompt_set", "pushback", "system")
"""What a row repeats of what it was asked, besides its key."""
WHO = ("subject", "task", "model", "persona", "trial", "epoch", "seed", "dose", "adapter")
COLUMNS = tables.schema(Reply).names
NUMBERS = ("prompt_tokens", "reply_tokens", "seconds")
ANEW = "`warmth run` asks them anew"


@dataclass(frozen=True)
class Said:
    """What is on file of a unit: the rows that the plan asks, with `reply_digest`, and the keys of all.

    Keys that are planned and not there are among these, too.
    """

    planned: pl.DataFrame
    keys: pl.DataFrame

    @property
    def finished(self) -> pl.DataFrame:
        """The planned rows that say something."""
        return self.planned.filter(pl.col("error").is_null())


def served(plan: Plan, store: Store) -> dict[str, Served]:
    """What can be asked, by the subject's name; a trial whose file cannot be read has left nothing."""
    adapters: dict[str, str] = {}
    for trial in plan.trials:
        try:
            adapters |= {trial.subject(kept["epoch"]): kept["adapter"] for kept in trials.checkpoints(store, trial)}
        except (WarmthError, LookupError, TypeError, ValueError, AttributeError):
            continue
    there = [each for each in plan.subjects if each.trial is None or each.name in adapters]
    return {each.name: evaluate.served_as(each, adapters) for each in there}


class Replies:
    """Looks at the replies of one planned unit after another. `own` names the study's own models, asked in full."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        notes: Notes,
        known: Tables,
        certificates: Mapping[str, Mapping[str, Any]],
        own: Sequence[str],
    ) -> None:
        self._plan, self._store, self._notes, self._tables = plan, store, notes, known
        self._certificates, self.own, self._served = certificates, own, served(plan, store)
        self._sheets: dict[tuple[str, tuple[str, ...]], tuple[list[Question], pl.DataFrame] | None] = {}

    def look(self, unit: Unit) -> Said | None:
        """What a unit's replies are; None if they cannot be looked at. All that is wrong, and what lacks, is noted."""
        file, as_served = self._store.path(*unit.replies), self._served.get(unit.subject.name)
        found = self._tables.read(Reply, file, COLUMNS)
        if found is None or as_served is None:
            return None
        self._notes.counted["replies"] += found.height
        self._whose(unit, found, as_served)
        self._said(unit, found)
        self._certified(unit, found, as_served)
        asked = self._asked(unit, as_served)
        if asked is None:
            self._by_themselves(unit, found, as_served)
            return Said(frames.digested(found), found.select(ON))
        planned, others = self._as_planned(unit, asked, found), found.join(asked, on=ON, how="anti")
        if self._by_themselves(unit, others, as_served):
            what = f"{others.height:,} replies that the study as it is now does not ask; no figure is made of them"
            self._notes.add("noted", file, what, "they may stay")
        return Said(frames.digested(planned), pl.concat([found.select(ON), asked.select(ON)]))

    # ------------------------------------------------------------------ the plan
    def _asked(self, unit: Unit, as_served: Served) -> pl.DataFrame | None:
        """What the plan asks of a unit, and the digest of each request; None where the questions cannot be had."""
        key = unit.task, unit.subject.contexts
        if key not in self._sheets:
            self._sheets[key] = self._sheet(unit)
        sheet = self._sheets[key]
        if sheet is None:
            return None
        every, frame = sheet
        digests = evaluate.request_digests(self._plan, unit, as_served, every)
        return frame.with_columns(
            pl.Series("request", digests, dtype=pl.String), system=pl.lit(unit.subject.persona.system, pl.String)
        )

    def _sheet(self, unit: Unit) -> tuple[list[Question], pl.DataFrame] | None:
        """A task's questions, which are the same for every subject that is asked in the same contexts."""
        try:
            every = evaluate.questions(self._plan, self._store, unit)
        except WarmthError as error:
            what = f"its questions cannot be had here, so its replies are not compared with the plan ({error})"
            self._notes.add("noted", ("questions", f"{unit.task}.json"), what, "look where the data is")
            return None
        kinds = {name: pl.Int64 if name in ("draw", "row_seed") else pl.String for name in (*ON, *FOLLOWS[:-1])}
        return every, pl.DataFrame({name: [getattr(each, name) for each in every] for name in kinds}, schema=kinds)

    def questions(self) -> None:
        """Does the run say which questions it asks, and are they the plan's?"""
        for task, asked in self._plan.asked.items():
            place = ("questions", f"{task}.json")
            try:
                due, told = [sample.id for sample in asked.samples], self._store.glance(*place)
            except (WarmthError, ValueError):
                continue  # they cannot be had here; or noted among the JSON files
            if not isinstance(told, dict) or told.get("samples") != due:
                self._notes.wrong(place, "does not name the questions that are asked", "`warmth run` writes it anew")

    def _as_planned(self, unit: Unit, asked: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
        """The rows that are what the plan asks; what is missing, and what else stands in their place, is noted."""
        file = self._store.path(*unit.replies)
        both = found.join(asked, on=ON, how="inner", suffix="_asked", maintain_order="left")
        if unit.subject.model.name in self.own and (lacking := asked.height - both.select(ON).n_unique()):
            self._notes.missing(file, f"{lacking:,} of {asked.height:,} replies are not there")
        other = both.filter(pl.col("request") != pl.col("request_asked"))
        self._wrong(unit, other, "replies to another request than the plan's: other weights, words or sampling", ANEW)
        mine = both.filter(pl.col("request") == pl.col("request_asked"))
        changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_asked")) for name in FOLLOWS)
        self._wrong(unit, mine.filter(changed), "a prompt, seed or system prompt that was changed afterwards", AGAIN)
        if failed := mine["error"].count():
            first = mine["error"].drop_nulls()[0]
            self._notes.missing(file, f"{failed:,} of {asked.height:,} replies failed (first: {first})", ANEW)
        return mine.select(COLUMNS)

    def _by_themselves(self, unit: Unit, found: pl.DataFrame, as_served: Served) -> int:
        """Of rows that no plan is at hand for, how many have the digest of what they say that they were asked."""
        temperature, most = self._plan.study.evaluation.sampling(unit.task)
        parts = (
            (prompt, (temperature, most, seed if temperature else None), *(() if again is None else (again,)))
            for prompt, seed, again in found.select("prompt", "row_seed", "pushback").iter_rows()
        )
        digests = pl.Series(tables.digests((as_served.identity, unit.subject.persona.system), parts), dtype=pl.String)
        strange = found.filter(found["request"] != digests)
        self._wrong(unit, strange, "a request that is not what its own prompt and settings come to", AGAIN)
        return found.height - strange.height

    # ------------------------------------------------------------------ by itself
    def _whose(self, unit: Unit, found: pl.DataFrame, as_served: Served) -> None:
        """Does every row say whose it is, as its place and the plan do?"""
        subject, trial = unit.subject, unit.subject.trial
        told = (subject.name, unit.task, subject.model.name, subject.persona.name, trial and trial.name)
        numbers = (subject.epoch, trial and trial.seed, subject.dose)
        due = dict(zip(WHO, (*told, *numbers, as_served.name if trial else None), strict=True))
        odd = {name: pl.col(name).ne_missing(pl.lit(value, found.schema[name])) for name, value in due.items()}
        for name, other in _those(found, odd).items():
            self._wrong(unit, other, f"{name} {other[name][0]}, where it is {due[name]}", AGAIN)

    def _said(self, unit: Unit, found: pl.DataFrame) -> None:
        """Does every row either say something or why not, in numbers that can be?"""
        number = pl.any_horizontal((pl.col(name) < 0).fill_null(False) for name in NUMBERS)
        first = pl.col("pushback").is_not_null() & pl.col("error").is_null() & pl.col("first_reply").is_null()
        odd = {
            "neither a reply nor an error, or both": pl.col("reply").is_null() == pl.col("error").is_null(),
            "a second answer without a first": first,
            "numbers that cannot be": number | ~pl.col("seconds").is_finite(),
        }
        for what, those in _those(found, odd).items():
            self._wrong(unit, those, what, AGAIN)

    def _certified(self, unit: Unit, found: pl.DataFrame, as_served: Served) -> None:
        """Does every row name a certificate that is there, whole, of this subject, and did not fail?"""
        for name, count in found.group_by("certificate").len().sort("certificate").iter_rows():
            if what := self._uncertified(unit, name, as_served):
                self._notes.wrong(
                    self._store.path(*unit.replies), f"{count:,} replies {what}", "delete the file and run again"
                )

    def _uncertified(self, unit: Unit, name: str | None, as_served: Served) -> str | None:
        if unit.subject.model.hosted:
            return f"name the certificate {name}, of weights that are not here" if name else None
        if name is None:
            return "name no certificate: nobody knows what was served"
        if (told := self._certificates.get(name)) is None:
            return f"name a certificate that is not there, or not whole: {name}"
        if told["served"] != as_served.name:
            return f"name the certificate {name}, which is of {told['served']}"
        return (
            f"name the certificate {name}, which says that they are not {as_served.name}'s"
            if told["verdict"] == "failed"
            else None
        )

    def _wrong(self, unit: Unit, those: pl.DataFrame, what: str, cure: str) -> None:
        self._notes.wrong_rows(self._store.path(*unit.replies), those, ON, what, cure)


def _those(found: pl.DataFrame, odd: Mapping[str, pl.Expr]) -> dict[str, pl.DataFrame]:
    """The rows that each condition holds for, where there are any; usually there are none, and one look tells."""
    there = found.select(holds.any().alias(what) for what, holds in odd.items()).row(0, named=True)
    return {what: found.filter(holds) for what, holds in odd.items() if there[what]}
