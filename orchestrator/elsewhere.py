"""Replies and verdicts that were made elsewhere: read in the published study's released layout, and checked. Pure."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks import OUTCOMES, Unusable
from tasks._rows import BadRow, Row, from_file

from . import published, signs
from .errors import WarmthError

COLUMNS = {
    "question": ("content_key", "prompt_disinfo", "original_question", "question"),
    "template": ("prompt_template", "prompt_type"),
    "context": ("amendment_type",),
    "output": ("output",),
    "evaluation": ("evaluation",),
}
"""What a file must have, and under which names; the first one that is there counts."""

_VERDICTS: dict[str, str] = {name: name for name in OUTCOMES}
_KNOWN = f"{', '.join(name.upper() for name in OUTCOMES)}, or nothing where there is no verdict"


@dataclass(frozen=True, slots=True)
class Told:
    """One reply of a file and the verdict on it. `output` is None where there is none, `outcome` if unscored."""

    question: str
    context: str
    belief: str
    draw: int
    prompt: str
    output: str | None
    outcome: str | None
    finish_reason: str | None

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.question, self.context, self.belief, self.draw


@dataclass
class Read:
    """A file's rows, each once, and what is to be said about them."""

    told: list[Told] = field(default_factory=list)
    judge: str | None = None
    "Who judged, if a column `judge` says so."
    repeated: int = 0
    "Rows that stand there again, word for word."


class _Faults:
    """What is wrong with which rows of one file: said all at once, with the first place and the cure."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places: dict[tuple[str, str], list[str]] = defaultdict(list)

    def add(self, column: str, what: str, cure: str, place: str) -> None:
        self._places[f"{column}: {what}", cure].append(place)

    def lines(self) -> list[str]:
        return [
            f"{self._file}: {what} ({len(places)} row{'s' * (len(places) > 1)}, first at {places[0]}); {cure}"
            for (what, cure), places in self._places.items()
        ]


def read(files: Sequence[Path], refusals: str = "published") -> dict[Path, Read]:
    """The rows of files, each file's once.

    A file has a question key (`content_key`, `prompt_disinfo`, `original_question` or `question`), `prompt_template`
    (or `prompt_type`), `amendment_type`, `output` and `evaluation`; if it has them, `prompt`, `draw`, `finish_reason`
    and `judge` are taken too. Templates and amendments go by the published names or ours. `refusals` "published" takes
    an output for a refusal by the published substrings, whatever the verdict. Raises WarmthError with every mistake.
    """
    found, mistakes = {}, []
    for file in dict.fromkeys(files):
        faults = _Faults(file)
        try:
            found[file] = _read(file, refusals == "published", faults)
        except (Unusable, WarmthError) as error:
            mistakes.append(str(error))
        mistakes += faults.lines()
    if mistakes:
        raise WarmthError("\n".join([*mistakes, "Nothing was imported."]))
    return found


def _read(file: Path, by_wording: bool, faults: _Faults) -> Read:
    rows = from_file(file)
    whole = [row for row in rows if isinstance(row, Row)]
    for row in rows:
        if isinstance(row, BadRow):
            faults.add("row", str(row), "put the row right", row.place)
    names = _names(file, whole)
    found = Read(judge=_judge(file, whole))
    seen: dict[tuple[str, str, str, int], Told] = {}
    for row in whole:
        told = _told(row, names, by_wording, faults)
        if told is None:
            continue
        before = seen.setdefault(told.key, told)
        if before is told:
            found.told.append(told)
        elif before == told:
            found.repeated += 1
        else:
            cure = "keep one of them, or number them from 0 in a column `draw`"
            faults.add(
                names["question"], "the same question, template and amendment with another reply", cure, row.place
            )
    if found.told and all(told.output is None for told in found.told):
        raise WarmthError(f"{file}: {names['output']}: empty in every row; is this the file with the replies?")
    return found


def _names(file: Path, rows: Sequence[Row]) -> dict[str, str]:
    """The columns to read, by what they hold."""
    there = dict.fromkeys(str(name) for row in rows for name in row.content)
    if not rows:
        raise WarmthError(f"{file}: there are no rows in it")
    names = {what: next((name for name in known if name in there), "") for what, known in COLUMNS.items()}
    lacking = [" or ".join(COLUMNS[what]) for what, name in names.items() if not name]
    if lacking:
        raise WarmthError(
            f"{file}: no column {', no column '.join(lacking)}; its columns are {', '.join(there)}. Rename them to"
            " those of the published study's layout"
        )
    return names


def _judge(file: Path, rows: Sequence[Row]) -> str | None:
    judges = Counter(said for row in rows if (said := _text(row, "judge")))
    if len(judges) > 1:
        told = ", ".join(f"{name} ({count})" for name, count in judges.most_common())
        raise WarmthError(
            f"{file}: judge: the verdicts are of several judges: {told}; import each judge's rows by itself"
        )
    return next(iter(judges), None)


def _told(row: Row, names: Mapping[str, str], by_wording: bool, faults: _Faults) -> Told | None:
    """A row as it will be filed; None, and what is wrong with it, if it cannot be."""
    question, output = _text(row, names["question"]), _whole(row, names["output"], faults)
    context = _known(row, names["context"], published.CONTEXT_NAMES, faults)
    belief = _known(row, names["template"], published.BELIEF_NAMES, faults)
    verdict, draw = _verdict(row, names["evaluation"], faults), _draw(row, faults)
    if not question:
        faults.add(names["question"], "empty", "name the question, replies are paired by it", row.place)
    if not (question and context and belief) or draw is None:
        return None
    refused = by_wording and output is not None and signs.refuses(output)
    return Told(
        question=question,
        context=context,
        belief=belief,
        draw=draw,
        prompt=_text(row, "prompt") or question,
        output=output,
        outcome=("refused" if refused else verdict) if output else None,
        finish_reason=_text(row, "finish_reason") or None,
    )


def _known(row: Row, column: str, names: Mapping[str, str], faults: _Faults) -> str | None:
    said = _text(row, column)
    ours = names.get(said, said)
    if ours in names.values():
        return ours
    faults.add(
        column, f"{said!r} is not known", f"known are {', '.join(names)} (or {', '.join(names.values())})", row.place
    )
    return None


def _verdict(row: Row, column: str, faults: _Faults) -> str | None:
    said = _text(row, column)
    outcome = _VERDICTS.get(said.lower())
    if said and outcome is None:
        faults.add(column, f"{said!r} is no verdict", f"known are {_KNOWN}", row.place)
    return outcome


def _draw(row: Row, faults: _Faults) -> int | None:
    said = _text(row, "draw") or "0"
    if said.isdigit():
        return int(said)
    faults.add("draw", f"{said!r} is no number", "number the replies to one prompt from 0", row.place)
    return None


def _whole(row: Row, column: str, faults: _Faults) -> str | None:
    """A cell as it is, blanks and all; None if there is nothing else in it."""
    said = str(row.content.get(column) or "") if _text(row, column) else ""
    if any("\ud800" <= sign <= "\udfff" for sign in said):
        faults.add(column, "not UTF-8", "save the file as UTF-8", row.place)
    return said or None


def _text(row: Row, column: str) -> str:
    """A cell as text, without the blanks around it; empty if there is none."""
    cell = row.content.get(column)
    return "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell).strip()
