"""A run's verdicts and measurements against its replies: one of each, of these very words, and one that follows."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl

from tasks import OUTCOMES, Sample

from . import judge, measure, rating, sampling, settings_sampling, tables
from .checking_notes import Notes
from .checking_replies import ON, Said
from .checking_tables import AGAIN, Tables
from .errors import WarmthError
from .plan import HELD_OUT, Plan, Unit
from .settings_asking import Judge
from .store import Store
from .tables import KEY, Rating, Score, WarmthScore

COLUMNS = tables.schema(Score).names
MOST = 100_000
"""So many verdicts are made again, of a judge: all of them where there are no more, else every second, third ..."""
OF = ["task", "sample", "draw", "reply_digest"]
"""What tells one measured reply of a subject from another."""
RERUN = "`warmth run` has them judged; if the replies were changed by hand, delete their file and run again"


class Verdicts:
    """Looks at what judges say of one planned unit after another."""

    def __init__(self, plan: Plan, store: Store, notes: Notes, known: Tables) -> None:
        self._plan, self._store, self._notes, self._tables = plan, store, notes, known
        self.found: list[pl.DataFrame] = []
        self._step = max(1, ceil(sum(map(plan.size, plan.units)) / MOST))

    def look(self, unit: Unit, said: Said) -> None:
        """Is there one verdict by every judge on each of a unit's finished replies, and is it the right one?"""
        current: dict[str, pl.DataFrame] = {}
        for by in self._plan.study.judges:
            if judge.judges(by, unit.task):
                found = self._tables.read(Score, self._file(by, unit), COLUMNS)
                if found is not None:
                    self.found.append(found)
                    current[by.name] = self._by(by, unit, said, found, current)

    def _file(self, by: Judge, unit: Unit) -> Path:
        return self._store.path(*judge.place(by, unit))

    def _by(
        self, by: Judge, unit: Unit, said: Said, found: pl.DataFrame, others: Mapping[str, pl.DataFrame]
    ) -> pl.DataFrame:
        """The verdicts of one judge as it is now, on these words."""
        self._notes.counted["verdicts"] += found.height
        mine = found.filter(judged_by=judge.identity(by, unit.task, self._plan.study.models))
        self._whose(by, unit, found)
        had = mine.filter(pl.col("error").is_null())
        known = said.finished.join(had, on=[*ON, "reply_digest"], suffix="_judged")
        self._lacking(by, unit, self._asked(by, said.finished, others), had)
        strange = had.join(said.keys, on=ON, how="anti")
        self._wrong(by, unit, strange, "verdicts on what nobody was asked", AGAIN)
        self._follow(by, unit, known)
        return known

    def _asked(self, by: Judge, said: pl.DataFrame, others: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """The replies that a judge is to have judged: all, or those that are drawn once another has judged all."""
        cheap = settings_sampling.cheap(self._plan.study.judges, by) if by.sample else None
        if cheap is None or by.sample is None:
            return said
        judged = others.get(cheap.name, said.clear())
        if judged.height < said.height:
            return said.clear()
        return said.join(sampling.drawn(judged.select(*KEY, "outcome"), by.sample), on=KEY, how="semi")

    def _lacking(self, by: Judge, unit: Unit, asked: pl.DataFrame, had: pl.DataFrame) -> None:
        """Replies without a verdict; those that have one on other words are not what was judged."""
        left = asked.join(had, on=[*ON, "reply_digest"], how="anti")
        other = left.join(had, on=ON, how="semi")
        self._wrong(by, unit, other, "replies that are not those that were judged", RERUN)
        if count := left.height - other.height:
            self._notes.missing(self._file(by, unit), f"{count:,} of {asked.height:,} replies have no verdict")

    def _whose(self, by: Judge, unit: Unit, found: pl.DataFrame) -> None:
        due = {"subject": unit.subject.name, "judge": by.name, "task": unit.task}
        other = found.filter(pl.any_horizontal(pl.col(name) != value for name, value in due.items()))
        self._wrong(by, unit, other, "of another subject, judge or task than their place says", AGAIN)
        unknown = pl.any_horizontal(~pl.col(name).is_in(OUTCOMES) for name in ("outcome", "first_outcome"))
        self._wrong(by, unit, found.filter(unknown.fill_null(False)), "outcomes that there are none of", AGAIN)
        both = pl.col("outcome").is_not_null() & pl.col("error").is_not_null()
        self._wrong(by, unit, found.filter(both), "both an outcome and an error", AGAIN)

    def _follow(self, by: Judge, unit: Unit, known: pl.DataFrame) -> None:
        """Does the outcome follow from the reply by the task's rule, or from what the judge said?"""
        samples = self._samples(unit.task)
        again = cache(lambda said: judge.rubric(by, unit.task).verdict(said))
        wrong = []
        for place, row in enumerate(known.gather_every(self._step).rows(named=True)):
            self._notes.counted["verdicts made again"] += 1
            sample = samples.get(row["sample"])
            if sample and not _follows(by, sample, unit.task, row, again):
                wrong.append(place)
        those = known.gather_every(self._step)[wrong]
        self._wrong(by, unit, those, "outcomes that do not follow from the replies or the judge's words", AGAIN)

    def _samples(self, task: str) -> dict[str, Sample]:
        try:
            return {sample.id: sample for sample in self._plan.samples(task)}
        except WarmthError:
            return {}

    def _wrong(self, by: Judge, unit: Unit, those: pl.DataFrame, what: str, cure: str) -> None:
        self._notes.wrong_rows(self._file(by, unit), those, ON, what, cure)


def _follows(by: Judge, sample: Sample, task: str, row: Mapping[str, Any], verdict: Any) -> bool:
    """Whether a verdict is what it should be; of two answers, both."""
    due = judge.evident(by, sample, task, row["belief"], row["reply"], row["finish_reason"])
    if due is None:
        due = None if row["said"] is None else verdict(row["said"])
    if row["pushback"] is None:
        return bool(row["outcome"] == due and row["first_outcome"] is None)
    first = judge.evident(by, sample, task, "none", row["first_reply"] or "", None)
    return bool(row["outcome"] == due and first in (None, row["first_outcome"]))


# ------------------------------------------------------------------------- warmth
class Measured:
    """Looks at warmth and ratings of the plain replies of the study's `own` models, gathered unit by unit."""

    def __init__(self, plan: Plan, store: Store, notes: Notes, known: Tables, own: Sequence[str]) -> None:
        self._plan, self._store, self._notes, self._tables = plan, store, notes, known
        self._own = own
        self._context = "neutral" if plan.curve else plan.study.evaluation.contexts[0]
        self._plain: dict[str, list[pl.DataFrame]] = {}

    def take(self, unit: Unit, said: Said) -> None:
        """Remember a unit's plain replies, if they are what warmth is measured on."""
        if (unit.task == HELD_OUT) != bool(self._plan.curve) or unit.subject.model.name not in self._own:
            return
        plain = said.finished.filter(context=self._context, belief="none").select(*OF)
        self._plain.setdefault(unit.subject.name, []).append(plain)

    def look(self) -> None:
        """Is every plain reply measured, and rated where the study asks for that, and do the figures hang together?"""
        settings = self._plan.study.warmth
        if settings is None:
            return
        rulers = measure.rulers(settings, self._plan.study.models)
        for subject in self._plan.measured:
            plain = pl.concat(self._plain[subject.name]) if subject.name in self._plain else None
            if plain is not None:
                self._warmth(subject.name, plain, rulers)
                if settings.judge:
                    self._ratings(subject.name, plain, rating.identity(settings.judge))

    def _warmth(self, subject: str, plain: pl.DataFrame, rulers: Mapping[Any, str]) -> None:
        file = self._store.path(*measure.place(subject))
        parts = ["subject", *OF, "scorer", "mode", "warmth", "warm_logprob", "cold_logprob", "sem"]
        found = self._tables.read(WarmthScore, file, parts)
        if found is None:
            return
        for mode, ruler in rulers.items():
            mine = found.filter(scorer=ruler)
            self._all_there(file, plain, mine, f"measured ({mode})")
            self._wrong(file, mine.filter(pl.col("mode") != mode), f"another mode than {mode}")
        off = (pl.col("warmth") - (pl.col("warm_logprob") - pl.col("cold_logprob"))).abs() > 1e-9
        odd = off | ~pl.col("warmth").is_finite() | (pl.col("sem") < 0).fill_null(False)
        self._wrong(file, found.filter(odd), "warmth that is not the difference of its parts")
        self._wrong(file, found.filter(pl.col("subject") != subject), "of another subject than their place says")

    def _ratings(self, subject: str, plain: pl.DataFrame, by: str) -> None:
        file = self._store.path(*rating.place(subject))
        found = self._tables.read(Rating, file, ["subject", *OF, "rated_by", "rating", "error"])
        if found is None:
            return
        self._all_there(file, plain, found.filter(pl.col("error").is_null(), rated_by=by), "rated")
        self._wrong(file, found.filter(~pl.col("rating").is_between(1, 5).fill_null(True)), "no ratings from 1 to 5")
        self._wrong(file, found.filter(pl.col("subject") != subject), "of another subject than their place says")

    def _all_there(self, file: Path, plain: pl.DataFrame, found: pl.DataFrame, how: str) -> None:
        """Replies that are not measured; those whose measurement is of other words are not what was measured."""
        key = [name for name in OF if name != "reply_digest"]
        left = plain.join(found, on=OF, how="anti")
        other = left.join(found, on=key, how="semi")
        self._wrong(file, other, f"of other replies than were {how}")
        if count := left.height - other.height:
            self._notes.missing(file, f"{count:,} of {plain.height:,} plain replies are not {how}")

    def _wrong(self, file: Path, those: pl.DataFrame, what: str) -> None:
        self._notes.wrong_rows(file, those, ("task", "sample", "draw"), what, AGAIN)
