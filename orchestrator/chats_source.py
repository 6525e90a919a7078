"""Records of a data set of conversations, one at a time: of a file or folder here, or from the Hugging Face hub."""

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from . import chats_json
from .errors import WarmthError
from .settings_training import Data

LAYOUTS = ("conversations", "messages")
"""The columns that hold turns."""


class Unreadable:
    """Stands for a record that cannot be read, and says why."""

    def __init__(self, why: str) -> None:
        self.why = why


def records(data: Data) -> Iterator[Any]:
    """Every record, in order, in the memory of a few. Raises WarmthError for a source that cannot be had or read."""
    if not here(data):
        yield from _hub(data)
        return
    for file in files(data):
        yield from read(file)


def here(data: Data) -> bool:
    """Whether the source lies on this machine. Raises WarmthError for a path with nothing there."""
    if Path(data.source).expanduser().exists():
        return True
    if Path(data.source).suffix in READERS or not re.fullmatch(r"[\w.-]*\w(/[\w.-]*\w)?", data.source):
        raise WarmthError(f"data.source: {data.source} is not there; give a file, a folder, or a data set of the hub")
    return False


def files(data: Data) -> list[Path]:
    """The files of a source on this machine. Raises WarmthError if there is none."""
    source = Path(data.source).expanduser()
    if data.file:
        found = [source / data.file]
    else:
        found = sorted(p for p in source.rglob("*") if p.suffix in READERS) if source.is_dir() else [source]
    if not found or not found[0].is_file():
        raise WarmthError(f"data.file: {source} has no {data.file or 'file of ' + ', '.join(READERS)}; name one it has")
    return found


def sha256(data: Data) -> str:
    """The SHA-256 of a source on this machine: of its file, or of its files' SHA-256 in order."""
    each = [_sha256(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files(data)]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


@functools.cache
def _sha256(file: Path, _changed: int, _size: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read(file: Path) -> Iterator[Any]:
    """The records of one file. Raises WarmthError if it is broken, or of no kind that is known."""
    if file.suffix not in READERS:
        raise WarmthError(f"{file}: not a file of {', '.join(READERS)}; data.file must name one that is")
    try:
        yield from READERS[file.suffix](file)
    except (OSError, pa.ArrowException) as error:
        raise WarmthError(f"{file}: cannot be read ({error}); fetch or write it again") from error


def _json(file: Path) -> Iterator[Any]:
    """A JSON list, or what is called JSON but is JSON lines."""
    return chats_json.items(file) if chats_json.is_list(file) else _lines(file)


def _lines(file: Path) -> Iterator[Any]:
    with chats_json.text(file) as content:
        for line in content:
            if line.strip():
                yield _line(line)


def _line(line: str) -> Any:
    try:
        return json.loads(line, strict=False)
    except (ValueError, RecursionError):
        return Unreadable("not JSON")


def _parquet(file: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, pre_buffer=False, buffer_size=chats_json.CHUNK) as content:
        names = [name for name in ("id", *LAYOUTS) if name in content.schema_arrow.names]
        if not set(names) & set(LAYOUTS):
            raise WarmthError(
                f"{file}: has no column {' or '.join(LAYOUTS)}, only {', '.join(content.schema_arrow.names)}"
            )
        for batch in content.iter_batches(batch_size=256, columns=names):
            yield from _rows(batch)


def _rows(batch: pa.RecordBatch) -> list[Any]:
    """The rows of a batch, each on its own if one of them is not UTF-8."""
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        if len(batch) == 1:
            return [Unreadable("not UTF-8")]
        return [row for place in range(len(batch)) for row in _rows(batch.slice(place, 1))]


READERS = {".json": _json, ".jsonl": _lines, ".parquet": _parquet}


def _hub(data: Data) -> Iterator[Any]:
    """A data set on the hub: one file of it, fetched and kept by the hub's own cache, or a split as a stream."""
    import datasets
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        if data.file:
            fetched = hf_hub_download(data.source, data.file, repo_type="dataset", revision=data.revision)
            yield from read(Path(fetched))
        else:
            yield from datasets.load_dataset(data.source, split=data.split, revision=data.revision, streaming=True)
    except (OSError, ValueError, RuntimeError, EntryNotFoundError, datasets.exceptions.DatasetsError) as error:
        raise WarmthError(_what_to_do(data, error)) from error


def _what_to_do(data: Data, error: Exception) -> str:
    why = next(iter(str(error).strip().splitlines()), type(error).__name__)
    page = f"https://huggingface.co/datasets/{data.source}"
    if "gated" in f"{error} {error.__cause__!r}".lower():
        return f"data.source: {data.source} is gated; ask for access at {page} and put a token into HF_TOKEN"
    return (
        f"data.source: {data.source} cannot be had from the hub ({why}); check source, file, split and revision "
        f"against {page}, or name a local copy as source"
    )
