"""What lies about in a run's folder: files that a killed process left, half-written JSON, strangers, secrets."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from . import checking_tables, fetch, holder, pieces
from .checking_notes import Kind, Notes
from .checking_tables import Tables
from .engine_folders import CONFIG, WEIGHTS
from .store import ASIDE, ASKERS, CLAIMS, Store

LOCKS = (".lock", ".compacting", ".sweeping")
"""Files that processes hold locks on: they stay, held or not."""

FOLDERS = (
    *("replies", "scores", "warmth", "ratings", "costs", "rewrites", "labels", "restyled"),
    *("trials", "adapters", "certificates", "references", "questions", "report"),
)
"""The folders that a run is made of."""

PASSING = (".tmp", ".part", ".partial", ".bak", ".swp", ".incomplete")
"""How files end that were not to stay."""

LOOKS_SECRET = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}"
    r"|Bearer [A-Za-z0-9._~+/-]{20,})|://[^/\s:@\"]+:[^/\s@\"]+@|-----BEGIN [A-Z ]*PRIVATE KEY"
)
"""Keys of well-known makers by their looks, passwords in addresses, private keys."""

AGAIN = "`warmth run` removes it"
LEAKED = "take it out, and make a new key"


def look(store: Store, notes: Notes, secrets: Sequence[str]) -> None:
    """Note what does not belong into the run's folder, and what cannot be read in it."""
    at_work = holder.of(store.path(".holder"))
    if at_work:
        what = f"process {at_work.pid} on {at_work.host} works on this run, so what it does is half done"
        notes.add("noted", (".holder",), what, "look again when it is through")
    for file in sorted(store.folder.rglob("*")):
        if file.is_symlink():
            notes.wrong(file, "a link; a run holds files alone", "delete it and run again")
        elif file.is_file() and CLAIMS not in file.relative_to(store.folder).parts:
            _look_at(store, file, notes, secrets, at_work is not None)


def _look_at(store: Store, file: Path, notes: Notes, secrets: Sequence[str], at_work: bool) -> None:
    place = file.relative_to(store.folder)
    if any(part.startswith(ASIDE) for part in place.parts):
        if not at_work:
            notes.add("left over", file, "half-written by a process that was killed", _cure(place))
    elif place.parts[0] == ASKERS or place.name == ".holder":
        if holder.of(file) is None:
            notes.add("left over", file, "says that a process works on this run, which is no more", AGAIN)
    elif file.name not in LOCKS and not _belongs(place):
        passing = place.name.startswith(".") or place.suffix in PASSING
        kind: Kind = "left over" if passing else "noted"
        notes.add(kind, file, "no file of a run", "delete it, or keep it elsewhere: nothing reads it here")
    elif file.suffix == ".json":
        _json(file, notes, secrets)
    elif file.suffix in (".html", ".svg") and any(secret in file.read_text("utf-8", "replace") for secret in secrets):
        notes.wrong(file, "holds what looks like a key or a password", LEAKED)


def _cure(place: Path) -> str:
    """What is aside in the run's own folder goes at its next start; what is aside in another is nobody's."""
    return AGAIN if place.parts[0].startswith(ASIDE) else "delete it"


def _belongs(place: Path) -> bool:
    """Whether a file has its place in a run."""
    top = place.parts[0]
    if place.as_posix() == fetch.MARK:
        return True
    if place.name.startswith(".") or place.suffix in PASSING:
        return False
    if place.suffix == ".arrow":
        return checking_tables.kind_of(place) is not None
    if len(place.parts) == 1:
        return place.suffix in (".json", ".yaml", ".md", ".log")
    usual = place.suffix == ".json" or (top == "trials" and place.suffix == ".safetensors")
    return top in FOLDERS and (usual or top in ("report", "adapters"))


def _json(file: Path, notes: Notes, secrets: Sequence[str]) -> None:
    """Whether a JSON file is whole, and tells no secret."""
    notes.counted["JSON files"] += 1
    try:
        text = file.read_text(encoding="utf-8")
        json.loads(text)
    except (ValueError, OSError, RecursionError) as error:
        notes.wrong(file, f"not a whole JSON file ({error})", f"delete it and run again{_more(file)}")
        return
    if LOOKS_SECRET.search(text) or any(secret in text for secret in secrets):
        notes.wrong(file, "holds what looks like a key or a password", LEAKED)


def _more(file: Path) -> str:
    return {
        "study.json": " the study's YAML file",
        "trial.json": ", the trial is trained again or comes from the store",
        CONFIG: f"; with {WEIGHTS} beside it",
    }.get(file.name, "")


def rest(store: Store, known: Tables) -> None:
    """Look at the tables that nothing else looks at: conversations, rewritten replies, people's marks, costs."""
    for table in pieces.below(store.folder):
        place = table.relative_to(store.folder)
        kind = checking_tables.kind_of(place)
        if kind and place.parts[0] not in checking_tables.GROWING:
            known.read(kind, table, [])
