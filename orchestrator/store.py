"""Where a run keeps things: one folder, files that appear whole or not at all."""

import contextlib
import errno
import json
import math
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa

from . import holder, pieced, pieces, tables
from .arrow_files import write_arrow
from .errors import WarmthError

STUDY, IMPORTED = "study.json", "imported.json"
"""What makes a folder a run: a study spelled out, or what was imported into it."""

ASIDE = ".writing-"
"""How the folders are called in which things are written before they move to their place."""

SCRATCH = ".scratch-"
"""How the folder beside a run is called for what libraries leave that nobody reads again: pickled, some of it."""

CLAIMS, ASKERS = ".claims", ".askers"
"""Which tables somebody fills at present, and which processes ask a run on demand."""


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
        """Write rows as an Arrow IPC file in their declared schema; they are the whole table then."""
        found = tables.table(rows, kind)
        if pieces.folder(self.path(*parts)).exists():
            with self._alone():
                self._write(found, kind, pieces.marked(self.path(*parts)), *parts)
        else:
            self._write(found, kind, {}, *parts)

    def write_piece(self, rows: Sequence[Any], kind: type[Any], name: str, *parts: str) -> None:
        """Write rows as a piece of a table, beside the others; over what has the same name."""
        *folders, table = parts
        place = (*folders, pieces.folder(Path(table)).name, f"{name}.arrow")
        with self.writing(*place) as aside:
            write_arrow(tables.table(rows, kind), aside, {pieces.MARK: pieces.mark()})

    def compact(self, kind: type[Any], *parts: str) -> None:
        """Take a table's pieces into it. A kill at any time loses nothing and doubles nothing."""
        if pieces.folder(self.path(*parts)).exists():
            with self._alone():
                beside = pieces.marked(self.path(*parts))
                self._write(pieced.read(kind, self.path(*parts)), kind, beside, *parts)

    def _alone(self) -> filelock.BaseFileLock:
        """Only one process moves pieces at a time: a killed run's worker may live on while the next run begins."""
        return filelock.FileLock(self.path(".compacting"))

    def _write(self, found: pa.Table, kind: type[Any], beside: Mapping[Path, str], *parts: str) -> None:
        """Write a table that stands for all that was beside it; then that can go."""
        with self.writing(*parts) as aside:
            write_arrow(found, aside, pieced.about(kind, found, beside.values()))
        for piece, mark in pieces.marked(self.path(*parts)).items():
            if beside.get(piece) == mark:  # and not what has been written under its name since
                piece.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # none is there, or a piece has come
            pieces.folder(self.path(*parts)).rmdir()

    def read_rows(self, kind: type[Any], *parts: str) -> list[Any]:
        """The rows of a table with its pieces, none if there is none. Raises WarmthError if it cannot be read."""
        return tables.rows(pieced.read(kind, self.path(*parts)), kind)

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

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder that is no part of the run, beside it; gone afterwards. Raises WarmthError on a full disk."""
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
                yield Path(folder)
        except OSError as error:
            raise explain(error, self._scratch) from error
        finally:
            with contextlib.suppress(OSError):  # another share has its own in it, or the disk is full
                self._scratch.rmdir()

    @property
    def _scratch(self) -> Path:
        return self.folder.parent / f"{SCRATCH}{self.folder.name}"

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
        """Remove what a killed process left half-written; only while holding the lock, and while nobody else writes."""
        with filelock.FileLock(self.path(".sweeping")):
            if any(holder.of(file) for file in self.path(ASKERS).glob("*")):
                return
            for left in (*self.folder.glob(f"{ASIDE}*"), self.path(CLAIMS), self.path(ASKERS), self._scratch):
                shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def beside(self) -> Iterator[bool]:
        """Fill tables of a run, while another process may work on it; says whether one does."""
        self.path(ASKERS).mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            with filelock.FileLock(self.path(".sweeping")):
                self.path(ASKERS).mkdir(exist_ok=True)
                stack.enter_context(holder.held(self.path(ASKERS, uuid.uuid4().hex)))
            yield holder.of(self.path(".holder")) is not None

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


def explain(error: OSError, file: Path) -> WarmthError:
    """A file system's complaint with its cure."""
    if error.errno == errno.ENOSPC:
        return WarmthError(f"{file}: no space is left on this disk; make room and run again, what is finished is kept")
    return WarmthError(f"{file}: cannot be written ({error.strerror or error}); put that right and run again")
