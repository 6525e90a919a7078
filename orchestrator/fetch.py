"""A run comes home: from a cluster's head or from a folder, into a folder of runs here.

It is copied aside, goes on there where an earlier attempt was cut off, and takes its place when it is whole. A run of
the same name that was made here, or changed here since it came, stays as it is.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from . import fetch_copy, holder
from .errors import WarmthError
from .head import HOME, Head
from .holder import Holder
from .store import Store, explain

ASIDE, OLD = ".fetching-", ".fetched-before-"
"""How the folders are called, beside the runs, in which one is copied, and the one that it takes the place of."""

MARK = ".fetched.json"
"""In a run that came from elsewhere: from where, and its files' sizes and times then."""

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Fetched:
    """A run that came home, and the process that still worked on it there, if one did."""

    folder: Path
    working: Holder | None

    @property
    def report(self) -> Path | None:
        """The page to open; None if the run had none yet."""
        page = self.folder / "report" / "index.html"
        return page if page.is_file() else None


def fetch(run: str, out: Path, head: Head | None = None) -> Fetched:
    """Copy a run's tables, adapters, settings and report to `out`/<its name>.

    `run` is a folder here; with a `head`, one there: a name (in `warmth/runs` of the user's home) or a path. Raises
    WarmthError if it is no run, if the way there is cut (what came is kept), or if something else stands here.
    """
    name = _name(run)
    target, aside = out / name, out / f"{ASIDE}{name}"
    if head is None:
        source = Path(run).absolute()
        if source == target.absolute():
            raise WarmthError(f"{run}: this is where it would go; --out names another folder")
        return _settled(name, str(source), out, lambda: fetch_copy.from_folder(source, aside, target))
    where = there(run)
    return _settled(name, f"{head.where}:{where}", out, lambda: fetch_copy.from_head(head, where, aside, target))


def there(run: str) -> str:
    """Where a run lies on a head: a path, in the user's home if it is relative; a name is one of those submitted."""
    return run.removeprefix("~/").rstrip("/") if "/" in run else f"{HOME}/runs/{run}"


def _name(run: str) -> str:
    name = run.rstrip("/").rpartition("/")[2]
    if not NAME.fullmatch(name):
        raise WarmthError(f"{run}: not a run; name it (lab), or say where it lies (runs/lab)")
    return name


def _settled(name: str, source: str, out: Path, copy: Callable[[], None]) -> Fetched:
    """Copy aside, look whether it is a run, and put it into its place."""
    target, aside = out / name, out / f"{ASIDE}{name}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(out / f"{ASIDE}{name}.lock", timeout=0):
            _check_replaceable(target)
            with _kept_if_any(aside):
                copy()
            _check_run(aside, source)
            working = holder.of(aside / fetch_copy.HELD)
            _mark(aside, source)
            _replace(aside, target, out / f"{OLD}{name}")
    except filelock.Timeout as error:
        raise WarmthError(f"{target}: another `warmth fetch` is bringing it; wait for it, or stop it") from error
    except OSError as error:
        raise explain(error, target) from error
    return Fetched(target, working)


@contextlib.contextmanager
def _kept_if_any(aside: Path) -> Iterator[None]:
    """A folder to copy into, which stays for the next attempt if anything has come."""
    aside.mkdir(exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            aside.rmdir()


def _check_run(aside: Path, source: str) -> None:
    """Raises WarmthError if what came is no run; then it does not stay."""
    try:
        Store(aside).check_run()
    except WarmthError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise WarmthError(f"{source}: no run lies there; `warmth run` or `warmth submit` makes one") from error


def _files(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """What a run holds: every file's path, size and time; without its report, which is made again here too."""
    for path, _, names in os.walk(folder):
        for name in names:
            file = Path(path, name)
            place = file.relative_to(folder)
            if place.parts[0] != "report" and not any(part.startswith(".") for part in place.parts):
                about = file.lstat()
                yield str(place), (about.st_size, about.st_mtime_ns)


def _mark(aside: Path, source: str) -> None:
    """Note where it came from and what came; what copying left that is hidden goes."""
    for left in aside.rglob(".*"):
        left.unlink()
    (aside / MARK).write_text(json.dumps({"from": source, "files": dict(_files(aside))}), encoding="utf-8")


def _check_replaceable(target: Path) -> None:
    """Raises WarmthError if something stands there that did not come from elsewhere, or has changed since."""
    if not target.exists():
        return
    marked = Store(target).glance(MARK)
    if marked is None:
        raise WarmthError(f"{target}: this run was not fetched, and stays as it is; --out names another folder")
    if by := holder.of(target / ".holder"):
        raise WarmthError(f"{target}: process {by.pid} works on it; wait for it, or --out names another folder")
    known = {name: tuple(about) for name, about in marked["files"].items()}
    changed = sorted(name for name, about in _files(target) if known.get(name) != about)
    if changed:
        raise WarmthError(
            f"{target / changed[0]}: this has come or changed here since the run was fetched, and would be lost; move "
            f"{target} away, or --out names another folder"
        )


def _replace(aside: Path, target: Path, old: Path) -> None:
    """Put a whole run into its place; what a kill leaves between the two renames, the next fetch goes on with."""
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(aside, target)
    shutil.rmtree(old, ignore_errors=True)
