"""Does a run's report say what its tables come to, and its lock what it was frozen with? Everything is made again."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from . import config, lock, report, report_page, reporting, withheld
from .checking_notes import Kind, Notes
from .config import Study
from .errors import WarmthError
from .findings import Findings
from .onfile import OnFile
from .plan import Plan
from .store import Store
from .tables import digest

AGAIN = "`warmth report` makes it again"
_APART = (
    re.compile(r'<h2 id="figures">.*?(?=<h2 id=)', re.DOTALL),
    re.compile(r"<dt>(?:Report made|This program's commit|Versions)</dt><dd>.*?</dd>", re.DOTALL),
)
"""Parts of the page that are no figures of the tables: drawings, and when and with what it was made."""
_REPLIES = re.compile(r'<h2 id="replies">.*?(?=<h2 id=)', re.DOTALL)
"""Replies to sensitive tasks are there or not, as whoever made the report wished."""


def look(found: OnFile, notes: Notes) -> None:
    """Note every figure of the report that its run's tables do not come to.

    Of a run that is not finished it may be older than the tables, and is only not there yet.
    """
    folder = found.store.path("report")
    if not (folder / "index.html").exists():
        notes.missing(("report", "index.html"), "there is no report yet", AGAIN)
        return
    try:
        made, about = reporting.made_of(reporting.gather(found))
    except (WarmthError, OSError) as error:
        what = f"cannot be made again here, so it is not compared ({error})"
        notes.add("noted", ("report",), what, "mend that first")
        return
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = f"cannot be made again: a JSON file of the run is not what it should be ({error!r})"
        notes.wrong(("report",), what, "delete that file (bases.json, ...) and run again")
        return
    kind: Kind = "missing" if any(each.kind == "missing" for each in notes.found) else "wrong"
    _frames(made, folder, notes, kind)
    _page(made, about, folder / "index.html", notes, kind)


def _frames(made: Findings, folder: Path, notes: Notes, kind: Kind) -> None:
    wanted = report.written(made)
    for name, frame in wanted.items():
        notes.counted["report tables"] += 1
        file = folder / f"{name}.parquet"
        try:
            assert_frame_equal(pl.read_parquet(file), frame, check_row_order=True, rel_tol=1e-9, abs_tol=1e-9)
        except FileNotFoundError:
            notes.missing(file, "a table of the report is not there", AGAIN)
        except (pl.exceptions.PolarsError, OSError) as error:
            notes.wrong(file, f"cannot be read ({_first(error)})", AGAIN)
        except AssertionError as error:
            notes.add(kind, file, f"not what the run's tables come to: {_first(error)}", AGAIN)
    for file in sorted(folder.glob("*.parquet")):
        if file.stem not in wanted:
            notes.add(kind, file, "a table that this run's report does not have", f"delete it; {AGAIN} otherwise")


def _page(made: Findings, about: dict[str, Any], file: Path, notes: Notes, kind: Kind) -> None:
    """Compare the page line by line with one that is made now, but for its drawings."""
    try:
        theirs = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        notes.wrong(file, f"cannot be read ({error})", AGAIN)
        return
    covered = any(map(withheld.marked, made.rates["task"].unique()))
    apart = (*_APART, *((_REPLIES,) if covered else ()))
    there, due = (_lines(page, apart) for page in (theirs, report_page.to_html(made, about, ())))
    for said, told in zip([*there, *[""] * len(due)], due, strict=False):
        if said != told:
            notes.add(kind, file, f"says “{_differ(said, told)}”, where the tables say “{_differ(told, said)}”", AGAIN)
            return
    if len(there) > len(due):
        notes.add(kind, file, f"goes on where it should end: “{there[len(due)][:80]}”", AGAIN)


def _lines(page: str, apart: tuple[re.Pattern[str], ...]) -> list[str]:
    for part in apart:
        page = part.sub("", page)
    return [line for line in page.splitlines() if line.strip()]


def _differ(one: str, other: str) -> str:
    """A few words of a line, from where it differs from another."""
    place = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    told = re.sub(r"<[^>]*>?", " ", one[max(0, place - 30) : place + 40])
    return html.unescape(" ".join(told.split()))


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


# --------------------------------------------------------------------------- lock
def frozen(plan: Plan, store: Store, notes: Notes) -> None:
    """Is the lock what was frozen, and is what was asked what the lock says?"""
    if not store.has(lock.PLACE):
        return
    try:
        later = lock.deviations(plan, plan.study.analysis, store)
        for line in later:
            notes.add("noted", (lock.PLACE,), f"later than the lock: {line}", "the report says that it is exploratory")
        told = store.read_json(lock.PLACE)
        changed = [*_edited(told), *(() if later else _primary(told, config.of_run(store.folder)))]
    except WarmthError as error:
        notes.raised((lock.PLACE,), error)
        return
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        changed = [f"not what a lock is ({error!r})"]
    for what in changed:
        notes.wrong((lock.PLACE,), what, "put the file back as it was; what was frozen can be frozen no second time")


def _edited(told: dict[str, Any]) -> Iterator[str]:
    """Whether a lock's own digest is that of its settings, and of the subjects that these come to."""
    study = Study.model_validate({"name": "locked", **told["settings"]})
    if study.training.search.method == "optuna":
        return  # trials that were proposed since then have names that the lock could not know
    subjects = sorted(subject.name for subject in Plan(study).subjects)
    if told["plan_digest"] != digest(json.dumps(told["settings"], sort_keys=True), subjects, length=64):
        yield "its plan_digest is not that of its settings: one of them was changed after it was frozen"


def _primary(told: dict[str, Any], study: Study) -> Iterator[str]:
    """Whether the primary contrast of a lock that nothing deviates from is the one that the study comes to."""
    if told["primary"] != lock.primary(study).model_dump(mode="json"):
        yield "its primary contrast is not the one that the study comes to"
