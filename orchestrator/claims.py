"""One process at a time fills a table of a run: whoever comes second waits, and finds done what the first one did.

So a study can be asked on demand while its run goes on. The system lets go of what a killed process had.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import filelock

from .store import CLAIMS, Store
from .tables import digest


@contextlib.asynccontextmanager
async def claimed(store: Store, *table: str) -> AsyncIterator[None]:
    """Have a table, by its place in the run, for the length of a block; others of this process go on meanwhile."""
    async with filelock.AsyncFileLock(_file(store, table)):
        yield


@contextlib.contextmanager
def held(store: Store, *table: str) -> Iterator[None]:
    """The same for whoever can wait."""
    with filelock.FileLock(_file(store, table)):
        yield


def _file(store: Store, table: tuple[str, ...]) -> Path:
    file = store.path(CLAIMS, digest(*table))
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
