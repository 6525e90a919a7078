"""What endpoints said, kept as it comes: a run that is killed pays for no answer twice."""

import dataclasses
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from .store import explain


@dataclass(frozen=True, slots=True)
class Said:
    """An endpoint's words, and how they ended."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    reply_tokens: int | None = None


class Cache:
    """Answers by what was asked. Every process adds lines to a file of its own, and reads those of all before it."""

    def __init__(self, folder: Path) -> None:
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
        return self._known.get(key)

    def put(self, key: str, said: Said) -> None:
        """Keep an answer; it is on file when this returns. Raises WarmthError on a full disk."""
        self._known[key] = said
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._mine.open("a", encoding="utf-8") as out:
                out.write(json.dumps([key, dataclasses.asdict(said)]) + "\n")
        except OSError as error:
            raise explain(error, self._mine) from error
