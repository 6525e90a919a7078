"""The tables of a run: every kind of row, one dataclass each, and rows as Arrow.

The kinds are in `rows_chats`, `rows_replies` and `rows_measured`; a column is a field there, and a docstring.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pyarrow as pa

from .keys import KEY, digest, digests, key
from .rows_chats import Balance, Chat, HeldOut, Rewrite, RewriteCheck, Turn
from .rows_measured import Cost, Rating, WarmthScore
from .rows_replies import Label, Reply, Restyled, Score, reply_digest

__all__ = [
    "CURRENT",
    "IDENTITY",
    "KEY",
    "Balance",
    "Chat",
    "Cost",
    "HeldOut",
    "Label",
    "Rating",
    "Reply",
    "Restyled",
    "Rewrite",
    "RewriteCheck",
    "Score",
    "Turn",
    "WarmthScore",
    "digest",
    "digests",
    "key",
    "merge",
    "reply_digest",
    "rows",
    "schema",
    "table",
]

Row = TypeVar(
    "Row",
    bound="Reply | Score | Label | Restyled | WarmthScore | Rating | Chat | HeldOut | Rewrite | RewriteCheck | Balance"
    " | Cost",
)

IDENTITY: dict[type[Any], tuple[str, ...]] = {
    Reply: KEY,
    Score: ("judge", *KEY, "reply_digest", "judged_by"),
    Rating: ("subject", "task", "sample", "draw", "reply_digest", "rated_by"),
}
"""What stands once in tables that grow piece by piece; a newer row takes an older one's place.

Replies: what was asked. Verdicts and ratings: of what, and by what, so that none that was had is ever paid again.
"""

CURRENT: dict[type[Any], tuple[str, ...]] = {Score: ("judge", *KEY)}
"""Of what only the newest is shown to whoever loads a table: verdicts of another rubric, or on another reply, stay."""

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def schema(kind: type[Any]) -> pa.Schema:
    """The Arrow schema of a kind of row, from its dataclass."""
    hints = typing.get_type_hints(kind)
    return pa.schema([_field(field.name, hints[field.name]) for field in dataclasses.fields(kind)])


def _field(name: str, hint: Any) -> pa.Field:
    if part := _part(hint):
        return pa.field(name, pa.list_(pa.field("item", pa.struct(list(schema(part))), nullable=False)), nullable=False)
    optional = isinstance(hint, types.UnionType)
    plain = next(part for part in typing.get_args(hint) if part is not type(None)) if optional else hint
    return pa.field(name, _TYPES[plain], nullable=optional)


def _part(hint: Any) -> type[Any] | None:
    """The dataclass that a field holds several of, if it does."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else None


def table(rows: Sequence[Row], kind: type[Row]) -> pa.Table:
    """Rows as an Arrow table of their declared schema."""
    parts = _parts(kind)
    columns = {
        field.name: [
            [dataclasses.asdict(part) for part in getattr(row, field.name)]
            if field.name in parts
            else getattr(row, field.name)
            for row in rows
        ]
        for field in dataclasses.fields(kind)
    }
    return pa.table(columns, schema=schema(kind))


def rows(found: pa.Table, kind: type[Row]) -> list[Row]:
    """The rows of a table as dataclass instances."""
    parts = _parts(kind)
    return [
        kind(**row | {name: tuple(part(**each) for each in row[name]) for name, part in parts.items()})
        for row in found.to_pylist()
    ]


def _parts(kind: type[Any]) -> dict[str, type[Any]]:
    """The fields of a kind of row that hold several parts, and what those are."""
    return {name: part for name, hint in typing.get_type_hints(kind).items() if (part := _part(hint))}


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """Rows by key, the newer one where both have it; in a stable order."""
    merged = {key(row): row for row in (*old, *new)}
    return [merged[each] for each in sorted(merged)]
