"""What the list of models says of attestation: the last verdict on each, from the run's certificates."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

Verdicts = Mapping[str, Mapping[str, Any]]
TOLD = ("verdict", "fault", "id", "engine")
NONE: Verdicts = MappingProxyType({})


def verdicts(certificates: str | None) -> Verdicts:
    """By served name, the last certificate in a folder: its verdict, fault, name, engine, and when it was examined."""
    folder = Path(certificates or "")
    return _read(folder, folder.stat().st_mtime_ns) if certificates and folder.is_dir() else NONE


@lru_cache(maxsize=1)
def _read(folder: Path, _: int) -> Verdicts:
    """Read anew when the folder has changed: a certificate is written aside and then moved there."""
    files = (file for file in folder.glob("*.json") if not file.name.startswith("."))
    found = sorted(map(_certificate, files), key=lambda each: str(each["examined"][-1]))
    return {each["served"]: {**{key: each[key] for key in TOLD}, "examined": each["examined"][-1]} for each in found}


def _certificate(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found
