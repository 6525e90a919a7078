"""Arrow IPC files: what is damaged is named, with its cure; each says what its rows add up to."""

import contextlib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .errors import WarmthError

SUM = "sha256"
"""What a file says its rows add up to: Arrow itself has no checksum, and a bit that is turned reads like any other."""


def read_arrow(file: Path, names: Collection[str] | None = None) -> pa.Table:
    """An Arrow IPC file, or some of its columns: the others are not read. Raises WarmthError if it is damaged."""
    fields = None if names is None else [place for place, name in enumerate(arrow_schema(file).names) if name in names]
    with _opened(file, fields) as found:
        return found.read_all()


def arrow_schema(file: Path) -> pa.Schema:
    """The columns of an Arrow IPC file and what it says of itself, without its rows. Raises as `read_arrow` does."""
    with _opened(file) as found:
        return found.schema


def write_arrow(found: pa.Table, file: Path, about: Mapping[str, str]) -> None:
    """Write a table, and beside its columns what there is to say about it, and what its rows add up to."""
    told = found.replace_schema_metadata({**about, SUM: added_up(found, about)})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, told.schema) as out:
        out.write_table(told)


def added_up(found: pa.Table, about: Mapping[str, str]) -> str:
    """The SHA-256 of what is said about a table and of its rows, column by column, however they are cut into chunks."""
    whole = hashlib.sha256(json.dumps(sorted(about.items())).encode())
    for part in (bytes_ for column in found.columns for bytes_ in _bytes(column.type, column.chunks)):
        whole.update(part)
    return whole.hexdigest()


def _bytes(kind: pa.DataType, chunks: Sequence[pa.Array]) -> Iterator[Any]:
    """Of a column: where it is null; of texts and lists how long each is, and what is in them; numbers as they are."""
    yield from (each.is_valid().to_numpy(zero_copy_only=False) for each in chunks)
    if pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            yield from _bytes(kind.field(place).type, [each.flatten()[place] for each in chunks])
    elif pa.types.is_list(kind):
        yield from (pc.list_value_length(each).fill_null(0).to_numpy() for each in chunks)
        yield from _bytes(kind.value_type, [each.flatten() for each in chunks])
    elif pa.types.is_string(kind):
        yield from (pc.binary_length(each).fill_null(0).to_numpy() for each in chunks)
        yield from map(_text, chunks)
    else:
        yield from (
            each.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False) for each in chunks
        )


def _text(chunk: pa.StringArray) -> Any:
    """All texts of a chunk, one after another, as they lie there."""
    _, ends, text = chunk.buffers()
    if text is None or not len(chunk):
        return b""
    places = memoryview(ends).cast("B").cast("i")
    return memoryview(text)[places[chunk.offset] : places[chunk.offset + len(chunk)]]


@contextlib.contextmanager
def _opened(file: Path, fields: list[int] | None = None) -> Iterator[Any]:
    """Raises FileNotFoundError as it is: whoever reads pieces looks again then."""
    try:
        with pa.OSFile(str(file), "rb") as source:
            yield pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=fields))
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise WarmthError(
            f"{file}: this Arrow file is damaged ({error}); delete it and run again, only its rows are made anew"
        ) from error
