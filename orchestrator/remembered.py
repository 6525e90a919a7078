"""What endpoints said, kept as it comes: a run that is killed pays for no answer twice."""

import dataclasses
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from .shelf import Shelf
from .store import explain

SAID = "said"
"""What the shelf has answers under."""


@dataclass(frozen=True, slots=True)
class Said:
    """An endpoint's words, and how they ended."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


class Cache:
    """Answers by what was asked. Every process adds lines to a file of its own, and reads those of all before it.

    What other runs in the same folder were answered is on the shelf, if one is given.
    """

    def __init__(self, folder: Path, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._folder, self._mine = folder, folder / f"{uuid.uuid4().hex}.jsonl"
        self._known: dict[str, Said] = {}
        for file in sorted(folder.glob("*.jsonl")):
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        """Half a line is what a killed process was writing; it is asked again."""
        try:
            key, said = json.loads(line)
            self._known[key] = Said(**said)
        except (ValueError, TypeError):
            return

    def get(self, key: str) -> Said | None:
        """What this run was answered, or another one of its folder; then this run keeps it too."""
        if key not in self._known and self._shelf and (found := self._shelf.about(SAID, _shelved(key))):
            self._keep(key, Said(**found["said"]))
        return self._known.get(key)

    def put(self, key: str, said: Said) -> None:
        """Keep an answer; it is on file when this returns. Raises WarmthError on a full disk."""
        self._keep(key, said)
        if self._shelf:
            self._shelf.put(SAID, _shelved(key), {}, {"said": dataclasses.asdict(said)})

    def _keep(self, key: str, said: Said) -> None:
        self._known[key] = said
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._mine.open("a", encoding="utf-8") as out:
                out.write(json.dumps([key, dataclasses.asdict(said)]) + "\n")
        except OSError as error:
            raise explain(error, self._mine) from error


def _shelved(key: str) -> str:
    """In folders by the first digits, so that none has too many in it."""
    return f"{key[:2]}/{key}"
