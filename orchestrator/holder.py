"""Which process works on a run: said in a file beside the lock, so that whoever only looks need not touch the lock."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Holder:
    """A process, by what tells it from a later one with the same number: when it began, in seconds of the clock."""

    pid: int
    host: str
    began: float


def me() -> Holder:
    """This process."""
    return Holder(os.getpid(), socket.gethostname(), psutil.Process().create_time())


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Say for the length of a block that this process works here; a killed one leaves the file behind."""
    file.write_text(json.dumps(asdict(me())), encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def of(file: Path) -> Holder | None:
    """The process that works here; None if there is none, or it is no more. One on another machine is believed."""
    try:
        said = Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return said if said.host != socket.gethostname() or _lives(said) else None


def _lives(said: Holder) -> bool:
    try:
        return abs(psutil.Process(said.pid).create_time() - said.began) < 1
    except psutil.Error:
        return False
