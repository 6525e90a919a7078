"""Is a run whole? Everything in its folder against everything else: files, digests, certificates, counts, figures.

Nothing is asked, started or changed, neither Ray nor torch is needed, and every file is read once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from . import checking_files, checking_report, checking_weights, config, frames, pieces, tables
from .checking_notes import KINDS, Found, Notes
from .checking_replies import Replies
from .checking_tables import GROWING, Tables
from .checking_verdicts import Measured, Verdicts
from .errors import WarmthError
from .evidence import is_there
from .imported import of_run
from .onfile import OnFile
from .plan import HELD_OUT
from .sharing import Sharing
from .store import STUDY, Store

__all__ = ["KINDS", "Checked", "Found", "check"]


@dataclass(frozen=True)
class Checked:
    """What a check of a run found, the worst first, and how much it looked at."""

    run: str
    found: Sequence[Found]
    counted: dict[str, int]

    def passes(self, unfinished: bool = False) -> bool:
        """Whether all is there and right; of an `unfinished` run, whether nothing that is there is wrong."""
        fatal = ("wrong",) if unfinished else ("wrong", "missing", "left over")
        return not any(each.kind in fatal for each in self.found)


def check(run: str | Path) -> Checked:
    """Look at a run, finished or not. Raises WarmthError if it is no run, or a bundle (which has SHA256SUMS)."""
    store = Store(Path(run).absolute())
    if is_there(store.folder):
        raise WarmthError(f"{run}: a bundle; `sha256sum -c SHA256SUMS` in it says whether it is whole")
    if not store.has(STUDY):
        store.check_run()
    notes = Notes(store.folder)
    _look(store, notes)
    found = sorted(dict.fromkeys(notes.found), key=lambda each: (KINDS.index(each.kind), each.file))
    return Checked(str(run), found, dict(notes.counted))


def _look(store: Store, notes: Notes) -> None:
    on_file = _on_file(store, notes)
    study = on_file.plan.study if on_file and on_file.plan else None
    secrets = Sharing(study).secrets
    known = Tables(store.folder, notes, secrets)
    checking_files.look(store, notes, secrets)
    checking_files.rest(store, known)
    sums = checking_weights.adapters(store, notes)
    checking_weights.references(store, notes)
    certificates = checking_weights.certificates(store, notes)
    if on_file and on_file.plan:
        own = [model.name for model in config.of_run(store.folder).models]
        checking_weights.all_trials(on_file.plan, store, notes, sums)
        _planned(on_file, Replies(on_file.plan, store, notes, known, certificates, own), notes, known)
        checking_report.frozen(on_file.plan, store, notes)
    _others(store, on_file, notes, known)
    if any(each.kind == "wrong" and each.file.endswith(".arrow") for each in notes.found):
        notes.add("noted", ("report",), "not compared with the tables, as some are wrong", "mend them and look again")
    elif on_file:
        checking_report.look(on_file, notes)


def _on_file(store: Store, notes: Notes) -> OnFile | None:
    """The run as findings see it; None where what it consists of cannot be read, which is noted."""
    try:
        found = OnFile.at(store)
        of_run(store)
        return found
    except WarmthError as error:
        notes.raised((STUDY,), error)
        return None


def _planned(found: OnFile, replies: Replies, notes: Notes, known: Tables) -> None:
    """Unit after unit: replies, what judges say of them, how warm they are. The report need not read them again."""
    assert found.plan is not None
    verdicts = Verdicts(found.plan, found.store, notes, known)
    measured = Measured(found.plan, found.store, notes, known, replies.own)
    planned = [frames.frame(tables.Reply, []).with_columns(reply_digest=pl.lit("")).clear()]
    replies.questions()
    for unit in (*found.plan.units, *found.plan.curve):
        if said := replies.look(unit):
            measured.take(unit, said)
            if unit.task != HELD_OUT:
                verdicts.look(unit, said)
                planned.append(said.planned)
    measured.look()
    scores = pl.concat([frames.frame(tables.Score, []), *verdicts.found])
    found.planned = frames.judged(found.plan, frames.who(found.plan, pl.concat(planned)), scores)


def _others(store: Store, found: OnFile | None, notes: Notes, known: Tables) -> None:
    """Tables that the plan does not name: imported ones, those of models asked on demand, those of an earlier plan."""
    for piece in found.pieces if found else ():
        places: list[tuple[type[Any], tuple[str, ...]]] = [(tables.Reply, piece.replies), (tables.Score, piece.scores)]
        for kind, place in places:
            rows = known.read(kind, store.path(*place), [])
            if rows is not None and rows.height < piece.rows:
                what = f"{rows.height:,} rows, where {piece.rows:,} were imported from {piece.file}"
                notes.wrong(store.path(*place), what, "import the file again")
    for name, kind in GROWING.items():
        for table in pieces.below(store.path(name)):
            if not known.knows(table):
                known.read(kind, table, [])
                notes.add("noted", table, "not of the study as it is now; no figure is made of it", "it may stay")
