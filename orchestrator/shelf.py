"""What the runs of one folder share, kept beside them by what made it: `runs/.store/<kind>/<key>/`.

An entry is some files with their digests, and appears whole, by a rename; of two runs that make the same, the first
one's stays. A run takes hard links, or copies where a disk has none, of files whose digests are right: it is whole by
itself, whatever becomes of the shelf or of other runs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config import Study
from .store import Store, explain

FOLDER = ".store"
ABOUT = "about.json"
"""In every entry: what it is, and the SHA-256 of each of its files."""


class Shelf:
    """A folder of entries."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder)

    def has(self, kind: str, key: str) -> bool:
        """Whether there is an entry, whole or damaged."""
        return self._store.has(kind, key, ABOUT)

    def put(self, kind: str, key: str, files: Mapping[str, Path], about: Mapping[str, Any]) -> None:
        """Keep files under these names, and what they are; an entry that is there stays. Raises WarmthError."""
        if self.has(kind, key):
            return
        with self._store.aside() as aside:
            entry = aside / "entry"
            entry.mkdir()
            for name, file in files.items():
                link(file, entry / name)
            sums = {name: sha256(entry / name) for name in files}
            (entry / ABOUT).write_text(json.dumps({**about, "sha256": sums}, ensure_ascii=False), encoding="utf-8")
            self._settle(entry, self._store.path(kind, key))

    def _settle(self, entry: Path, final: Path) -> None:
        """Rename a whole entry to its place; a folder that is not empty is never replaced by that."""
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(entry, final)
        except OSError as error:
            if not (final / ABOUT).exists():
                raise explain(error, final) from error

    def about(self, kind: str, key: str) -> dict[str, Any] | None:
        """What an entry is; None if there is none, or if any of its files is not the one that was put there."""
        try:
            found: dict[str, Any] = json.loads(self._store.path(kind, key, ABOUT).read_text(encoding="utf-8"))
            whole = all(sha256(self.path(kind, key, name)) == known for name, known in found["sha256"].items())
        except (OSError, ValueError, LookupError, AttributeError):
            return None
        return found if whole else None

    def path(self, kind: str, key: str, name: str) -> Path:
        """Where a file of an entry lies."""
        return self._store.path(kind, key, name)


def of(study: Study) -> Shelf | None:
    """The shelf beside a study's run; None where it is to have none."""
    return Shelf(folder(study)) if study.resources.store else None


def folder(study: Study) -> Path:
    """Where the shelf of a study's run is."""
    return study.folder.absolute().parent / FOLDER


def link(file: Path, to: Path) -> None:
    """The same file in another place: a hard link, or a copy where there can be none."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def sha256(file: Path) -> str:
    """The SHA-256 of a file. Raises OSError for a link, wherever it leads."""
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
