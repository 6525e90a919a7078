"""What goes to a cluster with a study: the program, the study spelled out, the files that it names, and no others.

Runs, environments, weights and whatever else lies around stay here.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .config import SHIPPED, Study
from .errors import WarmthError

STUDY = "study.json"
PROGRAM = ("orchestrator", "tasks", "configs")
NAMED = ("source", "path", "prompts", "pack", "rubric")
"""Settings that may name a file or folder here; `path` of a model does not count: weights stay."""

MOST = 100 * 2**20
"""Bytes that Ray's job server takes at once."""

LEFT = shutil.ignore_patterns("__pycache__", ".*", "*.pyc")


def pack(study: Study, along: Iterable[Path], into: Path) -> str:
    """Lay out a folder from which `python -m orchestrator run study.json` runs a study; gives the study's digest.

    `along` are other files and folders below the working folder that go too. Raises WarmthError for what cannot.
    """
    for name in PROGRAM:
        if (SHIPPED.parent / name).is_dir():
            shutil.copytree(SHIPPED.parent / name, into / name, ignore=LEFT)
    told = study.model_dump(mode="json")
    said = {name: value if name == "models" else _carried(value, into) for name, value in told.items()}
    text = json.dumps(said, indent=1, ensure_ascii=False)
    (into / STUDY).write_text(text + "\n", encoding="utf-8")
    for path in along:
        _take(path, into / _below(path))
    size = sum(file.stat().st_size for file in into.rglob("*") if file.is_file())
    if size > MOST:
        raise WarmthError(
            f"{study.name}: {size / 2**20:,.0f} MiB would go along, and Ray takes {MOST / 2**20:.0f}; bring large "
            "files to the cluster's shared folder, and name them as they lie there"
        )
    return hashlib.sha256(text.encode()).hexdigest()


def _carried(said: Any, into: Path, name: str = "") -> Any:
    """The settings with each file that they name in its place on the cluster; the files are copied."""
    if isinstance(said, dict):
        return {key: _carried(value, into, key) for key, value in said.items()}
    if isinstance(said, list):
        return [_carried(value, into, name) for value in said]
    file = Path(said).expanduser() if name in NAMED and isinstance(said, str) else None
    if file is None or not file.exists():
        return said
    place = Path("files", hashlib.sha256(str(file.absolute()).encode()).hexdigest()[:8], file.name)
    _take(file, into / place)
    return str(place)


def _take(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, to, ignore=LEFT, dirs_exist_ok=True)
    elif path.is_file():
        shutil.copy2(path, to)
    else:
        raise WarmthError(f"{path}: there is no such file or folder to take along")


def _below(path: Path) -> Path:
    here = Path.cwd()
    if not path.absolute().is_relative_to(here) or ".." in path.parts:
        raise WarmthError(f"{path}: only what lies below {here} can be taken along")
    return path.absolute().relative_to(here)
