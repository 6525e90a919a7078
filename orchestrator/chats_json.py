"""The items of a JSON list of any length, in the memory of its longest one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from .errors import WarmthError

CHUNK = 1 << 20
"""How many characters are read at a time."""

LONGEST = 1 << 28
"""An item that goes on for longer has lost its end."""

NEAR = 16
"""So close to the end of what has been read, a mistake may only be that there is more to come."""

_decode = json.JSONDecoder(strict=False).raw_decode
_between = re.compile(r"[\s,]*")


def text(file: Path) -> TextIO:
    """A file's text. Bytes that are not UTF-8 become lone surrogates: one bad item must not cost the others."""
    return file.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n")


def is_list(file: Path) -> bool:
    """Whether a file begins as a JSON list does."""
    with text(file) as content:
        return content.read(CHUNK).lstrip()[:1] == "["


def items(file: Path) -> Iterator[Any]:
    """Every item of a file's list. Raises WarmthError naming the place where the file is no JSON."""
    with text(file) as content:
        yield from _Window(file, content).items()


class _Window:
    """The part of a file that has been read and not been handed on."""

    def __init__(self, file: Path, content: TextIO) -> None:
        self._file, self._content = file, content
        self._text = content.read(CHUNK)
        self._at, self._before = self._text.index("[") + 1, 0

    def items(self) -> Iterator[Any]:
        while not self._closes():
            yield self._item()

    def _closes(self) -> bool:
        while True:
            self._at = _between.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at] == "]"
            self._read_on()

    def _item(self) -> Any:
        while True:
            found, end = self._decoded()
            if end < len(self._text):  # at the very end, a number may have more digits to come
                self._at = end
                return found
            self._read_on()

    def _decoded(self) -> tuple[Any, int]:
        try:
            return _decode(self._text, self._at)
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - NEAR
            if unfinished and len(self._text) - self._at < LONGEST:
                return None, len(self._text)
            raise self._broken(error.pos, error.msg) from error
        except (ValueError, RecursionError) as error:
            raise self._broken(self._at, str(error)) from error

    def _read_on(self) -> None:
        """Read at least as much again, so that a long item is not tried many times."""
        more = self._content.read(max(CHUNK, len(self._text) - self._at))
        if not more:
            raise self._broken(len(self._text), "it ends in the middle of its list")
        self._before += self._at
        self._text, self._at = self._text[self._at :] + more, 0

    def _broken(self, at: int, why: str) -> WarmthError:
        return WarmthError(f"{self._file}: not JSON at character {self._before + at:,}: {why}; fetch or write it again")
