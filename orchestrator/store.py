"""Where a run keeps things: one folder, files that appear whole or not at all."""

import contextlib
import errno
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa

from . import holder, tables
from .errors import WarmthError

STUDY, IMPORTED = "study.json", "imported.json"
"""What makes a folder a run: a study spelled out, or what was imported into it."""

ASIDE = ".writing-"
"""How the folders are called in which things are written before they move to their place."""


class Store:
    """A run's folder. Every path is relative to it; every write is aside, then renamed."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def has(self, *parts: str) -> bool:
        return self.path(*parts).exists()

    def names(self, *parts: str) -> list[str]:
        """What lies in a folder; nothing if there is no such folder."""
        folder = self.path(*parts)
        return sorted(p.name for p in folder.iterdir() if not p.name.startswith(ASIDE)) if folder.is_dir() else []

    def write_rows(self, rows: list[Any], kind: type[Any], *parts: str) -> None:
        """Write rows as an Arrow IPC file in their declared schema."""
        found = tables.table(rows, kind)
        with (
            self.writing(*parts) as aside,
            pa.OSFile(str(aside), "wb") as sink,
            pa.ipc.new_file(sink, found.schema) as out,
        ):
            out.write_table(found)

    def merge_rows(self, rows: Sequence[Any], kind: type[Any], *parts: str) -> None:
        """Write rows beside those of an Arrow file, or over those with the same key."""
        self.write_rows(tables.merge(self.read_rows(kind, *parts), rows), kind, *parts)

    def read_rows(self, kind: type[Any], *parts: str) -> list[Any]:
        """The rows of an Arrow file, none if it does not exist. Raises WarmthError if it cannot be read."""
        file = self.path(*parts)
        if not file.exists():
            return []
        found = read_arrow(file)
        if found.schema != tables.schema(kind):
            raise WarmthError(
                f"{file}: its columns are not those of a {kind.__name__} table; delete the file and run again"
            )
        return tables.rows(found, kind)

    def write_json(self, content: Any, *parts: str) -> None:
        with self.writing(*parts) as aside:
            aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def read_json(self, *parts: str) -> Any:
        """A JSON file's content. Raises WarmthError if it is missing or cannot be read."""
        file = self.path(*parts)
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise WarmthError(f"{file}: not there; is {self.folder} a run's folder? `warmth run` makes one") from error
        except (ValueError, OSError) as error:
            raise WarmthError(f"{file}: cannot be read ({error}); delete it and run again") from error

    def check_run(self) -> None:
        """Raises WarmthError if this is no run's folder: neither a study's nor one with imported replies."""
        if not self.has(IMPORTED):
            self.read_json(STUDY)

    @contextlib.contextmanager
    def writing(self, *parts: str) -> Iterator[Path]:
        """A place aside; moved to its place if all goes well. Raises WarmthError on a full disk."""
        with self.aside() as aside:
            yield aside / parts[-1]
            self.adopt(aside / parts[-1], *parts)

    @contextlib.contextmanager
    def aside(self) -> Iterator[Path]:
        """A folder for what is still being written; gone afterwards. Raises WarmthError on a full disk."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=ASIDE, dir=self.folder, ignore_cleanup_errors=True) as folder:
                yield Path(folder)
        except OSError as error:
            raise explain(error, self.folder) from error

    def glance(self, *parts: str) -> Any | None:
        """What a JSON file that another process may take away says; None if it is not there."""
        try:
            return json.loads(self.path(*parts).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def adopt(self, written: Path, *parts: str) -> None:
        """Move what was written aside to its place, over what stands there."""
        final = self.path(*parts)
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            shutil.rmtree(final)
        os.replace(written, final)

    def sweep(self) -> None:
        """Remove what a killed process left half-written; only while holding the lock."""
        for left in self.folder.glob(f"{ASIDE}*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: one process writes to it at a time. Raises WarmthError if another one does."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path(".lock"), timeout=0), holder.held(self.path(".holder")):
                self.sweep()
                yield
        except filelock.Timeout as error:
            raise WarmthError(
                f"{self.folder}: another `warmth` process is working on this run; wait for it, or stop it"
            ) from error
        except OSError as error:
            raise explain(error, self.folder) from error


class Note:
    """A small JSON file that says how far something is; written as it begins and then at most once a second."""

    def __init__(self, store: Store, *place: str) -> None:
        self._store, self._place, self._said = store, place, -math.inf

    def say(self, content: Mapping[str, Any], last: bool = False) -> None:
        """Write it if it is time, or if this is the last; `at` says when."""
        now = time.time()
        if last or now - self._said >= 1:
            self._said = now
            self._store.write_json({**content, "at": now}, *self._place)


def read_arrow(file: Path) -> pa.Table:
    """An Arrow IPC file. Raises WarmthError naming the file and the cure if it is damaged."""
    with _opened(file) as found:
        return found.read_all()


def arrow_schema(file: Path) -> pa.Schema:
    """The columns of an Arrow IPC file, without its rows. Raises WarmthError if it is cut short or no such file."""
    with _opened(file) as found:
        return found.schema


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with pa.OSFile(str(file), "rb") as source:
            yield pa.ipc.open_file(source)
    except (pa.ArrowException, OSError) as error:
        raise WarmthError(
            f"{file}: this Arrow file is damaged ({error}); delete it and run again, only its rows are made anew"
        ) from error


def explain(error: OSError, file: Path) -> WarmthError:
    """A file system's complaint with its cure."""
    if error.errno == errno.ENOSPC:
        return WarmthError(f"{file}: no space is left on this disk; make room and run again, what is finished is kept")
    return WarmthError(f"{file}: cannot be written ({error.strerror or error}); put that right and run again")
