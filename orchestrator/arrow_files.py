"""Arrow IPC files: what is damaged is named, with its cure."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from .errors import WarmthError


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
    """Write a table, and beside its columns what there is to say about it."""
    told = found.replace_schema_metadata(about or None)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, told.schema) as out:
        out.write_table(told)


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
