"""Texts out of a file: lines, a JSON list, or JSON lines. Whatever is no text is named with its line."""

import json
import re
from pathlib import Path
from typing import Any

from .errors import WarmthError

FIELDS = ("text", "output", "reply")
"""Where an object has its text; the first one that it has."""


def read(file: Path) -> list[str]:
    """The texts of a file, in order. Raises WarmthError with file and line.

    `.txt` is a text a line, empty ones too; `.json` and `.jsonl` are what they say; any other file is what it begins
    like.
    """
    content = _content(file)
    if file.suffix != ".txt" and content.lstrip().startswith("[") and (file.suffix == ".json" or _is_json(content)):
        found = _of_list(file, content)
    elif file.suffix in (".jsonl", ".json") or (file.suffix != ".txt" and _begins_with_json(content)):
        found = [_text(file, number, _json(file, number, line)) for number, line in _lines(content) if line.strip()]
    else:
        found = [line for _, line in _lines(content)]
    if not found:
        raise WarmthError(f"{file}:1: no text in it")
    return found


def _content(file: Path) -> str:
    try:
        raw = file.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise WarmthError(f"{file}:{number}: this is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise WarmthError(f"{file}: cannot be read: {error.strerror or error}") from error


def _lines(content: str) -> list[tuple[int, str]]:
    """Numbered lines as an editor shows them: other characters that Python breaks lines at belong to a text."""
    lines = content.replace("\r\n", "\n").split("\n")
    return list(enumerate(lines[:-1] if lines[-1] == "" else lines, 1))


def _begins_with_json(content: str) -> bool:
    first = next((line for _, line in _lines(content) if line.strip()), "")
    return first.lstrip().startswith(("{", '"')) and _is_json(first)


def _is_json(content: str) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _of_list(file: Path, content: str) -> list[str]:
    values = _json(file, 1, content)
    return [_text(file, _found(value) is None and _line(content, place), value) for place, value in enumerate(values)]


def _line(content: str, place: int) -> int:
    """The line on which an item of a list begins."""
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    at = content.index("[") + 1
    for _ in range(place):
        _, at = decoder.raw_decode(content, _after(between, content, at))
    return content.count("\n", 0, _after(between, content, at)) + 1


def _after(pattern: re.Pattern[str], content: str, at: int) -> int:
    found = pattern.match(content, at)
    return found.end() if found else at


def _json(file: Path, number: int, content: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise WarmthError(f"{file}:{number + error.lineno - 1}: this is not JSON: {error.msg}") from error


def _found(value: Any) -> str | None:
    if isinstance(value, dict):
        value = next((value[name] for name in FIELDS if name in value), None)
    return value if isinstance(value, str) else None


def _text(file: Path, number: int, value: Any) -> str:
    found = _found(value)
    if found is None:
        wanted = f"an object with its text under {', '.join(FIELDS[:-1])} or {FIELDS[-1]}"
        raise WarmthError(f"{file}:{number}: neither a string nor {wanted}: {json.dumps(value)[:80]}")
    return found
