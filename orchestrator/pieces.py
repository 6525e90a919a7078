"""Tables that grow while a run goes on: one file, and beside it small pieces that are not in it yet, read as one.

`replies/<subject>/<task>.arrow` is the table, `replies/<subject>/<task>.pieces/<name>.arrow` are its pieces. Each file
is there whole or not at all. A piece is named after the work that it holds, so that the same work done again takes its
place; it bears a mark of its own. The table says in its metadata which marks it holds, and readers skip those pieces:
nothing hangs on whether they are deleted, nor on a folder's renaming, which buckets do not have.
"""

import json
import os
import time
import uuid
from pathlib import Path

from .arrow_files import arrow_schema

FOLDER = ".pieces"
"""How the folder of a table's pieces ends."""

MARK, HOLDS, OLDER = "mark", "holds", "older"
"""What a piece and a table say of themselves: its mark; the marks in it; whether rows in it are no longer current."""


def folder(table: Path) -> Path:
    """Where a table's pieces lie."""
    return table.with_suffix(FOLDER)


def mark() -> str:
    """A piece's own mark; those of later pieces sort behind."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"


def below(place: Path) -> list[Path]:
    """The tables in a folder and its folders, those included of which there are only pieces yet."""
    files = place.rglob("*.arrow")
    return sorted({_table(file) for file in files})


def _table(file: Path) -> Path:
    return file.parent.with_suffix(".arrow") if file.parent.suffix == FOLDER else file


def standing(table: Path) -> list[Path]:
    """The files that together are a table, the oldest first; none if there is none.

    Pieces are listed before the table is opened: one that moves into it meanwhile is held by it then, or is gone.
    """
    pieces = marked(table)
    if not table.exists():
        return sorted(pieces, key=pieces.__getitem__)
    held = holds(table) if pieces else frozenset()
    return [table, *sorted((each for each in pieces if pieces[each] not in held), key=pieces.__getitem__)]


def state(table: Path) -> tuple[object, ...]:
    """What changes whenever a table or its pieces do, without opening any."""
    try:
        there = table.stat()
        own = (there.st_mtime_ns, there.st_size)
    except FileNotFoundError:
        own = (0, 0)
    beside = (
        ((each.name, each.stat().st_mtime_ns) for each in os.scandir(folder(table))) if folder(table).exists() else ()
    )
    return own, *sorted(beside)


def marked(table: Path) -> dict[Path, str]:
    """The pieces beside a table, held by it or not, with their marks."""
    found = {}
    for piece in folder(table).glob("*.arrow"):
        try:
            found[piece] = says(piece, MARK) or ""
        except FileNotFoundError:
            continue  # it has moved into the table just now
    return found


def holds(table: Path) -> frozenset[str]:
    """The marks of the pieces that are in a table."""
    return frozenset(json.loads(says(table, HOLDS) or "[]"))


def says(file: Path, what: str) -> str | None:
    """What a piece or a table says of itself; None if it does not."""
    said = (arrow_schema(file).metadata or {}).get(what.encode())
    return said.decode() if said else None
