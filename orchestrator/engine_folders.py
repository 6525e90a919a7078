"""Adapters as they lie on disk: one folder each, in the layout PEFT writes, the folder's name being the adapter's."""

import json
from collections.abc import Iterator
from pathlib import Path

from .engine import UnknownModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def folder_of(adapters: str, name: str) -> Path:
    """Where the adapter of this name lies. Raises UnknownModel for a name that is not one folder's name."""
    if not name or name in (".", "..") or Path(name).name != name:
        raise UnknownModel(f"{name!r} is no adapter's name", "model")
    return Path(adapters) / name


def base_of(folder: Path) -> str | None:
    """The base model an adapter's folder names as its own; None where the folder holds no whole adapter."""
    if not (folder / WEIGHTS).exists():
        return None
    try:
        config = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        return None
    return str(config["base_model_name_or_path"])


def same_base(one: str, other: str) -> bool:
    """Whether two names mean one model: equal, or paths to one folder."""
    return one == other or Path(one).resolve() == Path(other).resolve()


def adapters_in(folder: str) -> Iterator[tuple[str, str]]:
    """The name and the base of every adapter in a folder, by name; the folder may not exist yet."""
    for child in sorted(Path(folder).glob("*")):
        if base := base_of(child):
            yield child.name, base
