"""A run's tables, each file read once: whole, of its declared columns, every key once, no secret in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from . import pieced, pieces, tables
from .arrow_files import SUM, added_up
from .checking_notes import Notes, rows
from .tables import (
    IDENTITY,
    KEY,
    Balance,
    Chat,
    Cost,
    HeldOut,
    Label,
    Rating,
    Reply,
    Restyled,
    Rewrite,
    RewriteCheck,
    Score,
    WarmthScore,
)

GROWING = {"replies": Reply, "scores": Score, "warmth": WarmthScore, "ratings": Rating}
FOLDERS = {**GROWING, "costs": Cost}
FILES = {
    "chats.arrow": Chat,
    "held_out.arrow": HeldOut,
    "labels/labels.arrow": Label,
    "restyled/restyled.arrow": Restyled,
    "rewrites/*-checks.arrow": RewriteCheck,
    "rewrites/balance-*.arrow": Balance,
    "rewrites/*.arrow": Rewrite,
}
"""Which kind of rows a table holds, by the folder or the file that it is; of files the first that it is like counts."""

ONCE: dict[type[Any], tuple[str, ...]] = {
    **IDENTITY,
    WarmthScore: ("scorer", "task", "sample", "draw"),
    Chat: ("id",),
    HeldOut: ("id",),
    Rewrite: ("chat", "turn"),
    RewriteCheck: ("chat", "turn", "check"),
    Balance: ("persona",),
    Label: ("id",),
    Restyled: (*KEY, "judge", "style"),
}
"""What stands once in a file."""

AGAIN = "delete it and run again, only its rows are made anew"


class Tables:
    """The tables in a run's folder. `secrets` are looked for in every file that is read."""

    def __init__(self, folder: Path, notes: Notes, secrets: Sequence[str] = ()) -> None:
        self._folder, self._notes = folder, notes
        self._secrets = [each.encode() for each in secrets]
        self._read: set[Path] = set()

    def knows(self, table: Path) -> bool:
        """Whether a table was read already."""
        return table in self._read

    def read(self, kind: type[Any], table: Path, names: Sequence[str]) -> pl.DataFrame | None:
        """Some columns of a table with its pieces (its key's, if none is named), the newest row of each key.

        None if it cannot be trusted. What is wrong with its files is noted.
        """
        self._read.add(table)
        key = ONCE.get(kind, ())
        parts = {file: self._file(kind, file) for file in _files(table)}
        if any(part is None for part in parts.values()):
            return None
        held = _says(parts.get(table), pieces.HOLDS, "[]")
        fresh = [
            part
            for part in sorted(filter(None, parts.values()), key=lambda part: _says(part, pieces.MARK, ""))
            if not (mark := _says(part, pieces.MARK, "")) or mark not in held
        ]
        self._beside(table, len(parts) - (table in parts))
        wanted = list(dict.fromkeys([*names, *key]))
        empty = tables.schema(kind).empty_table().select(wanted)
        found = pa.concat_tables([empty, *(part.select(wanted).replace_schema_metadata() for part in fresh)])
        settled = pieced.settled(found, key) if len(fresh) > 1 else found
        return pl.DataFrame(pl.from_arrow(settled)).select(names or wanted)

    def _beside(self, table: Path, count: int) -> None:
        if count:
            what = f"{count} piece{'s' * (count > 1)} beside the table, read as a part of it"
            self._notes.add("left over", pieces.folder(table), what, "`warmth run` takes them in")

    def _file(self, kind: type[Any], file: Path) -> pa.Table | None:
        """One file's rows; None if they cannot be read, or are another kind's."""
        self._notes.counted["tables"] += 1
        try:
            content = file.read_bytes()
            found = pa.ipc.open_file(pa.py_buffer(content)).read_all()
            found.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            told = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            self._notes.wrong(file, f"a damaged Arrow file ({told})", AGAIN)
            return None
        if any(secret in content for secret in self._secrets):
            self._notes.wrong(
                file, "holds the value of an environment variable that is a key", "delete it, and make a new key"
            )
        if not self._is(kind, found, file):
            return None
        self._as_written(found, file)
        self._once(kind, found, file)
        return found

    def _as_written(self, found: pa.Table, file: Path) -> None:
        """Do its rows add up to what the file says? They are looked at all the same, so that it is said where not."""
        told = {_read(name): _read(said) for name, said in (found.schema.metadata or {}).items()}
        due = told.pop(SUM, None)
        if due is None:
            self._notes.add("noted", file, "does not say what its rows add up to", "another program wrote it")
        elif due != added_up(found, told):
            self._notes.wrong(file, "its rows are not those that were written: they add up to something else", AGAIN)

    def _is(self, kind: type[Any], found: pa.Table, file: Path) -> bool:
        wanted = tables.schema(kind)
        if found.schema != wanted:
            other = sorted({str(each) for each in found.schema} ^ {str(each) for each in wanted})
            self._notes.wrong(file, f"its columns are not those of a {kind.__name__} table: {', '.join(other)}", AGAIN)
            return False
        empty = [each.name for each in wanted if not each.nullable and found[each.name].null_count]
        if empty:
            self._notes.wrong(file, f"nothing in columns that are never empty: {', '.join(empty)}", AGAIN)
        return not empty

    def _once(self, kind: type[Any], found: pa.Table, file: Path) -> None:
        """Does every key stand once? The rows are of use all the same."""
        key = ONCE.get(kind)
        if key and found.num_rows:
            keys = pl.DataFrame(pl.from_arrow(found.select(key)))
            if (twice := keys.filter(keys.is_duplicated()).unique(maintain_order=True)).height:
                first = "/".join(map(str, twice.row(0)))
                self._notes.wrong(file, f"keys that stand more than once: {rows(twice.height, first)}", AGAIN)


def kind_of(place: Path) -> type[Any] | None:
    """What rows a table at this place in the run holds; None where there is none."""
    if place.parts[0] in FOLDERS:
        return FOLDERS[place.parts[0]]
    return next(
        (kind for like, kind in FILES.items() if place.match(like) and len(place.parts) == like.count("/") + 1), None
    )


def _files(table: Path) -> list[Path]:
    """A table's files, those of its pieces that it holds already included."""
    return [*([table] if table.exists() else []), *sorted(pieces.folder(table).glob("*.arrow"))]


def _says(part: pa.Table | None, what: str, otherwise: str) -> str:
    said = ((part.schema.metadata or {}) if part is not None else {}).get(what.encode())
    return _read(said) if said else otherwise


def _read(said: bytes) -> str:
    """What a file says of itself, damaged or not."""
    return said.decode("utf-8", "replace")
