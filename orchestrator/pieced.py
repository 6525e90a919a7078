"""The rows of tables that grow piece by piece, each once: whole, or some columns of them."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from . import pieces, tables
from .arrow_files import arrow_schema, read_arrow
from .errors import WarmthError

T = TypeVar("T")


def read(kind: type[Any], table: Path) -> pa.Table:
    """A table with its pieces, the newest row of each key. Raises WarmthError for a damaged file, or another kind's."""
    return _rows(kind, table, tables.schema(kind).names)


def columns(kind: type[Any], names: Sequence[str], table: Path) -> pa.Table:
    """Some columns of a table with its pieces; of the others only those are read that tell rows apart."""
    return _rows(kind, table, names)


def _rows(kind: type[Any], table: Path, names: Sequence[str]) -> pa.Table:
    key = tables.IDENTITY.get(kind, ())
    files = each(table, lambda file: (file, read_arrow(checked(kind, file), [*names, *key])))
    if not files:
        return tables.schema(kind).empty_table().select(names)
    found = pa.concat_tables([rows.replace_schema_metadata() for _, rows in files])
    alone = [file for file, _ in files] == [table]
    return (found if alone else settled(found, key)).select(names)


def settled(found: pa.Table, key: Sequence[str]) -> pa.Table:
    """Each key's last row, in the order of what they are of; the older first where that is the same."""
    numbered = found.select(key).append_column("row", pa.array(range(len(found)), pa.int64()))
    newest = numbered.group_by(key, use_threads=False).aggregate([("row", "max")])["row_max"]
    kept = found.take(newest.sort())
    return kept.sort_by([(name, "ascending") for name in tables.KEY if name in key])


def about(kind: type[Any], found: pa.Table, beside: Iterable[str]) -> dict[str, str]:
    """What a table that takes in the pieces with these marks says of itself."""
    told, held = {}, sorted(beside)
    if held:
        told[pieces.HOLDS] = json.dumps(held)
    key = tables.CURRENT.get(kind)
    if key and len(found.group_by(key).aggregate([])) < len(found):
        told[pieces.OLDER] = "yes"
    return told


def each(table: Path, reading: Callable[[Path], T]) -> list[T]:
    """What reading gives for each of a table's files; from the start if a piece moves into the table meanwhile."""
    while True:
        try:
            return [reading(file) for file in pieces.standing(table)]
        except FileNotFoundError:
            continue


def checked(kind: type[Any], file: Path) -> Path:
    """The file itself. Raises WarmthError if its columns are another kind's."""
    if arrow_schema(file) != tables.schema(kind):
        raise WarmthError(
            f"{file}: its columns are not those of a {kind.__name__} table; delete the file and run again"
        )
    return file
