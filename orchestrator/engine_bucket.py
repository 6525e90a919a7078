"""A folder in a bucket, by its URI (s3://, gs://, or another that pyarrow knows), and copies of parts of it.

What is fetched lies in a private folder of this machine's cache, whole and checked or not at all.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from . import cache
from .errors import WarmthError
from .tables import digest

SEPARATOR, HERE = "://", "file://"


def remote(root: str) -> bool:
    """Whether a folder lies elsewhere: it is named by a URI, and not by that of a file here."""
    return SEPARATOR in root and not root.startswith(HERE)


def path(root: str) -> Path:
    """A folder of this machine, whether it is named by its path or by a file:// URI."""
    return Path(url2pathname(urlsplit(root).path) if root.startswith(HERE) else root)


@lru_cache(maxsize=16)
def bucket(uri: str) -> "Bucket":
    """The folder at a URI, connected once. Raises WarmthError where pyarrow knows no way there."""
    from pyarrow.fs import FileSystem

    shown = _shown(uri)
    try:
        files, path = FileSystem.from_uri(uri)
    except (OSError, ValueError) as error:
        why = f"no such place for adapters ({type(error).__name__}); take a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"
        raise WarmthError(f"{shown}: {why}") from None
    return Bucket(files, path, shown)


class Bucket:
    """A folder on one of pyarrow's filesystems. `shown` is its URI without what may be secret in it."""

    def __init__(self, files: Any, path: str, shown: str) -> None:
        self._files, self._path, self._shown = files, path.rstrip("/"), shown
        self._copies = cache.folder() / "adapters" / digest(shown, length=12)

    def names(self) -> list[str]:
        """The folders in it, by name; none where it is not there yet."""
        from pyarrow.fs import FileSelector, FileType

        with self._reached():
            found = self._files.get_file_info(FileSelector(self._path, allow_not_found=True))
        return sorted(each.base_name for each in found if each.type == FileType.Directory)

    def read(self, name: str, file: str) -> bytes:
        """A file in one of its folders. Raises FileNotFoundError where there is none."""
        with self._reached(), self._files.open_input_stream(f"{self._path}/{name}/{file}") as source:
            content: bytes = source.read()
        return content

    def has(self, name: str, file: str) -> bool:
        """Whether one of its folders holds a file."""
        from pyarrow.fs import FileType

        with self._reached():
            found = self._files.get_file_info(f"{self._path}/{name}/{file}")
        return bool(found.type == FileType.File)

    def copy(self, name: str, files: Iterable[str], check: Callable[[Path], object]) -> Path:
        """A folder of this machine's with these files of one of its folders; `check` raises where they are wrong."""
        own = self._copies / name
        if not own.is_dir():
            self._copies.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(prefix=".copying-", dir=self._copies) as aside:
                made = Path(aside) / name
                made.mkdir()
                for file in files:
                    (made / file).write_bytes(self.read(name, file))
                check(made)
                self._keep(made, own)
        return own

    def _keep(self, made: Path, own: Path) -> None:
        """Another process may have been faster; what it has copied is the same."""
        try:
            os.rename(made, own)
        except OSError:
            if not own.is_dir():
                raise

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Says where it was that could not be read; a file that is not there is its caller's affair."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise WarmthError(f"{self._shown}: cannot be read: {str(error)[:300]}") from error


def _shown(uri: str) -> str:
    """A URI without user, password and query, which may hold keys."""
    parts = urlsplit(uri)
    return f"{parts.scheme}{SEPARATOR}{parts.hostname or ''}{parts.path}"
