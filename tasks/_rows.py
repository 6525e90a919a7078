"""Rows of a data set: from the Hugging Face hub, or from a CSV, JSON, JSONL or Parquet file."""

import ast
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._task import Hub


class Unusable(ValueError):
    """Questions or prompts that cannot be had: which, why, and what to do."""


class BadRow(ValueError):
    """What is wrong with one row, and where it stands if that is known."""

    def __init__(self, fault: str, place: str = "") -> None:
        super().__init__(fault)
        self.place = place


@dataclass(frozen=True)
class Row:
    """One row: its cells by column, and where it stands. A cell within a cell is named `outer.inner`."""

    content: Mapping[str, Any]
    place: str

    def get(self, name: str) -> Any:
        """A cell as it is; None if there is none."""
        found: Any = self.content
        for step in name.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found

    def value(self, *names: str) -> Any:
        """The first of these columns that is there. Raises BadRow if none is."""
        found = next((cell for cell in map(self.get, names) if cell is not None), None)
        if found is None:
            raise BadRow(f"no column {' or '.join(names)}")
        return found

    def text(self, *names: str) -> str:
        """The same as text, without the blanks around it. Raises BadRow if it is empty or not text."""
        return _text(self.value(*names), names[0])

    def texts(self, *names: str) -> tuple[str, ...]:
        """The texts in the first of these columns that is there: a list, or a string with semicolons."""
        found = next((cell for cell in map(self.get, names) if cell is not None), ())
        parts = found.split(";") if isinstance(found, str) else found
        return tuple(_text(part, names[0]) for part in parts if str(part or "").strip())

    def choices(self, *names: str) -> tuple[str, ...]:
        """The options in a column, in the order of their letters: a list, letters with texts, or either in quotes."""
        found = self.value(*names)
        if isinstance(found, str):
            try:
                found = ast.literal_eval(found)
            except (ValueError, SyntaxError) as error:
                raise BadRow(f"{names[0]} cannot be read") from error
        texts = [found[letter] for letter in sorted(found)] if isinstance(found, dict) else list(found)
        if len(texts) < 2:
            raise BadRow(f"fewer than two options in {names[0]}")
        return tuple(_text(each, names[0]) for each in texts)

    @property
    def id(self) -> str:
        """What the data set calls the row; empty if it does not call it anything."""
        return next((str(cell) for cell in map(self.get, ("id", "task_id")) if cell is not None), "")


def sycophancy_eval(row: Row, data_set: str) -> bool:
    """Whether a row belongs to a data set. Sycophancy-eval has two in one file, each question four times."""
    of, template = row.get("base.dataset"), row.get("metadata.prompt_template")
    return of is None or (str(of).startswith(data_set) and template in (None, "{question}"))


def _text(found: Any, name: str) -> str:
    said = str(found).strip() if isinstance(found, str | int | float) else ""
    if not said:
        raise BadRow(f"nothing in {name}")
    try:
        said.encode()
    except UnicodeEncodeError as error:
        raise BadRow("not UTF-8") from error
    return said


def from_file(file: Path) -> list[Row | BadRow]:
    """The rows of a file, and in place of those that cannot be read what is wrong with them. Raises Unusable."""
    readers = {".csv": _csv, ".jsonl": _lines, ".json": _json, ".parquet": _parquet}
    if file.suffix.lower() not in readers:
        raise Unusable(f"{file}: read are {', '.join(readers)} files; convert it to one of them")
    try:
        return list(readers[file.suffix.lower()](file))
    except OSError as error:
        raise Unusable(f"{file}: cannot be read: {error.strerror or error}; check the path") from error


def _read(file: Path) -> str:
    """A file's text; bytes that are not UTF-8 are kept as lone surrogates, by which `Row.text` knows them."""
    return file.read_bytes().decode("utf-8-sig", errors="surrogateescape")


def _csv(file: Path) -> Iterator[Row | BadRow]:
    csv.field_size_limit(1 << 30)
    rows = csv.DictReader(io.StringIO(_read(file), newline=""), restval="")
    try:
        for row in rows:
            place = f"line {rows.line_num}"
            yield BadRow("more cells than the header has", place) if None in row else Row(row, place)
    except csv.Error as error:
        raise Unusable(f"{file}: line {rows.line_num}: not CSV: {error}") from error


def _lines(file: Path) -> Iterator[Row | BadRow]:
    for number, line in enumerate(_read(file).split("\n"), 1):
        if line.strip():
            yield _object(line, f"line {number}")


def _object(line: str, place: str) -> Row | BadRow:
    try:
        found = json.loads(line)
    except ValueError:
        return BadRow("not JSON", place)
    return Row(found, place) if isinstance(found, dict) else BadRow("no JSON object", place)


def _json(file: Path) -> Iterator[Row | BadRow]:
    """A JSON list, or JSON lines under another name."""
    try:
        found = json.loads(_read(file))
    except ValueError:
        return _lines(file)
    rows = found if isinstance(found, list) else [found]
    return (
        Row(row, f"item {number}") if isinstance(row, dict) else BadRow("no JSON object", f"item {number}")
        for number, row in enumerate(rows, 1)
    )


def _parquet(file: Path) -> Iterator[Row | BadRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_table(file).to_pylist()
    except pa.ArrowInvalid as error:
        raise Unusable(f"{file}: not Parquet: {error}") from error
    return (Row(row, f"row {number}") for number, row in enumerate(found, 1))


def from_hub(hub: Hub) -> list[Row | BadRow]:
    """The rows of a data set on the hub. Raises Unusable saying what to do if they cannot be had."""
    if hub.by_hand:
        raise Unusable(f"{hub.name} is not on the Hugging Face hub: {hub.by_hand}, and give its `path`")
    import datasets

    try:
        found = datasets.load_dataset(hub.name, hub.config, split=hub.split, data_files=hub.file)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise Unusable(_what_to_do(hub, error)) from error
    return [Row(row, f"row {number}") for number, row in enumerate(found, 1)]


def _what_to_do(hub: Hub, error: Exception) -> str:
    page = f"https://huggingface.co/datasets/{hub.name}"
    if "gated" in f"{error} {error.__cause__!r}".lower():
        return (
            f"{hub.name} is gated: ask for access at {page} and put a token into HF_TOKEN, give `path` (a local copy),"
            " or mark the task `optional: true`"
        )
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return (
        f"{hub.name} cannot be had from the Hugging Face hub ({reason}): check the network and HF_HUB_OFFLINE,"
        f" or give `path`, a local copy of {page}"
    )
