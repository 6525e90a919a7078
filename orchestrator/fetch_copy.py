"""A run's files copied aside: by rsync from a cluster's head, or from a folder of this machine.

Only files and folders come, and none that is hidden (locks, notes of who works, what is half written): links, devices
and whatever lies outside the run's folder do not. What has come already, now or in an earlier run here, does not again.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from .errors import WarmthError
from .head import Head

HELD = ".holder"
"""The one hidden file that comes too: it tells whether somebody still works on the run."""

TRIES = 5
"""So often a run is gone through whose files change meanwhile."""

VANISHED, PARTLY, NO_COMMAND, NO_WAY = 24, 23, 127, (255, 10, 12, 30, 35)
"""What rsync's exit codes say: files went away meanwhile, some cannot be read, there is no rsync; the way is cut."""


def from_folder(source: Path, aside: Path, before: Path) -> None:
    """Copy a run from a folder; what has not changed since `before` is linked from there. Raises WarmthError."""
    if not source.is_dir():
        raise WarmthError(f"{source}: there is no such folder")
    for _ in range(TRIES):
        if _pass(source, aside, before):
            return
    raise WarmthError(f"{source}: its files change faster than they can be copied; try again when the run is calmer")


def _pass(source: Path, aside: Path, before: Path) -> bool:
    """Go through it once; says whether everything was there that it set out to copy."""
    wanted, whole = set(), True
    for path, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".") and not Path(path, name).is_symlink()]
        for name in names:
            place = Path(path, name).relative_to(source)
            if not name.startswith(".") or str(place) == HELD:
                wanted.add(place)
                whole &= _copied(source / place, aside / place, before / place)
    for path, _, names in os.walk(aside):
        for name in names:
            if Path(path, name).relative_to(aside) not in wanted:
                Path(path, name).unlink()
    return whole


def _copied(file: Path, to: Path, before: Path) -> bool:
    """Copy a file whole or not at all; says whether it was still there. What is no file is passed over."""
    try:
        if file.is_symlink() or not file.is_file() or _same(file, to):
            return True
        to.parent.mkdir(parents=True, exist_ok=True)
        part = to.with_name(f".part-{to.name}")
        part.unlink(missing_ok=True)
        if _same(file, before):
            os.link(before, part)
        else:
            shutil.copy2(file, part, follow_symlinks=False)
        os.replace(part, to)
    except FileNotFoundError:
        return False
    return True


def _same(one: Path, other: Path) -> bool:
    """By size and time, as rsync tells: a run's files are replaced, never written into."""
    try:
        here, there = one.lstat(), other.lstat()
    except FileNotFoundError:
        return False
    return (here.st_size, here.st_mtime_ns) == (there.st_size, there.st_mtime_ns)


def from_head(head: Head, run: str, aside: Path, before: Path) -> None:
    """Copy a run from a cluster's head over ssh. Raises WarmthError if that fails; what came is kept."""
    if not shutil.which("rsync") or not shutil.which("ssh"):
        raise WarmthError("rsync and ssh are needed here to fetch a run from a cluster; install them")
    command = rsync(head, run, aside, before)
    for _ in range(TRIES):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != VANISHED:
            break
    if done.returncode:
        raise WarmthError(_explain(done.returncode, done.stderr, head, run))


def rsync(head: Head, run: str, aside: Path, before: Path) -> list[str]:
    """The command that brings a run, or what is left of it: files and folders alone, partly copied ones kept."""
    inside = (
        f"docker exec -i {shlex.quote(head.container)} sh -c 'cd && exec rsync \"$@\"' rsync" if head.container else ""
    )
    return [
        *("rsync", "-rt", "--no-links", "--no-devices", "--no-specials", "--partial", "--delete", "--secluded-args"),
        *(f"--include=/{HELD}", "--exclude=.*", f"--link-dest={before.absolute()}"),
        *(
            "-e",
            shlex.join(head.ssh()),
            *([f"--rsync-path={inside}"] if inside else []),
            f"{head.where}:{run}/",
            f"{aside}/",
        ),
    ]


def _explain(code: int, said: str, head: Head, run: str) -> str:
    lines = [line for line in said.strip().splitlines() if not line.startswith("rsync error")]
    by_ssh = [line for line in lines if not line.startswith("rsync")]
    why = [f"rsync ended with {code}", *lines[-1:], *by_ssh[-1:]][-1].strip()
    if code == PARTLY and "No such file or directory" in said:
        return f"{head.where}:{run}: no run lies there ({why}); `warmth status` and the job's log name its folder"
    if code == NO_COMMAND or "command not found" in said:
        return f"{head.where}: rsync is missing there ({why}); install it on the head (`ray exec`)"
    if refused := head.explain(said):
        return refused
    if code in NO_WAY:
        return f"{head.where}: the connection failed or was cut ({why}); what came is kept, the same command goes on"
    return f"{head.where}:{run}: {why}; what came is kept, the same command goes on"
