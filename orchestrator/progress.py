"""One live display for the whole pipeline; plain lines where there is no terminal."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .store import Note, Store

PLACE = "progress.json"
"""Where a run says which stage it is in; what it says lasts until the next start."""

PLAIN_EVERY = 15.0
"""Seconds between plain lines about one stage."""


class Stage:
    """One stage's progress: done of total, at what rate."""

    def __init__(self, display: "Display", name: str, total: float, unit: str) -> None:
        self._display, self._name, self._unit = display, name, unit
        self._done, self._total, self._tenth = 0.0, total, 0
        self._began = self._spoke = time.monotonic()
        self._since = time.time()
        self._bar: TaskID | None = display.bar(name, total) if display.live else None
        self._file()

    def advance(self, amount: float = 1, note: str = "") -> None:
        """So much more is done; `note` says what is going on."""
        self.reach(self._done + amount, note)

    def reach(self, done: float, note: str = "") -> None:
        """So much is done in all."""
        self._done = done
        self._file()
        if self._bar is not None:
            self._display.progress.update(self._bar, completed=done, note=f"{self._rate()} {note}")
        elif self._is_due():
            self._spoke = time.monotonic()
            counted = f"{self._name}: {done:,.0f}/{self._total:,.0f} {self._unit}"
            self._display.say(f"{counted}, {self._rate()}, {self._left()} {note}".rstrip())

    def _file(self) -> None:
        told = {"stage": self._name, "unit": self._unit, "done": self._done, "total": self._total}
        if self._display.note:
            self._display.note.say({**told, "began": self._since}, last=self._done >= self._total)

    def _is_due(self) -> bool:
        """Whether it is time for a plain line: from time to time, and at each tenth of the way."""
        tenth = int(10 * self._done / self._total) if self._total else 10
        due = time.monotonic() - self._spoke > PLAIN_EVERY or tenth > self._tenth
        self._tenth = tenth
        return due

    def _rate(self) -> str:
        passed = time.monotonic() - self._began
        return f"{self._done / passed:,.1f} {self._unit}/s" if passed > 0 else ""

    def _left(self) -> str:
        passed = time.monotonic() - self._began
        if self._done >= self._total:
            return f"done in {passed:.0f} s"
        return f"{passed * (self._total - self._done) / self._done:.0f} s left" if self._done else "waiting"


class Display:
    """The pipeline's progress on one console; use as a context."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.live = self.console.is_terminal
        self.note: Note | None = None
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
        )

    def __enter__(self) -> Self:
        if self.live:
            self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.progress.stop()

    def follow(self, store: Store) -> None:
        """Say on file too what is going on in a run, which this process works on alone; for `warmth status`."""
        store.path(PLACE).unlink(missing_ok=True)
        self.note = Note(store, PLACE)

    def bar(self, name: str, total: float) -> TaskID:
        return self.progress.add_task(name, total=total, note="")

    def stage(self, name: str, total: float, unit: str) -> Stage:
        """Begin a stage of so many units of work."""
        if not self.live:
            self.say(f"{name}: {total:,.0f} {unit} to do")
        return Stage(self, name, total, unit)

    def say(self, line: str) -> None:
        """One line, above the bars."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
