"""Adapters as they lie on disk: one folder each, in the layout PEFT writes, the folder's name being the adapter's.

A name ends in twelve digits of the SHA-256 of what the adapter computes: its weights, and its settings but for where
its base lies, which is elsewhere on another machine. So a name never means other bytes, and bytes that are not those
of their name are not served. Nothing is opened that is a link, or lies outside the adapters' folder.

The adapters' folder is a path, or a URI: of one in a bucket each adapter is copied to this machine when it is needed.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import engine_bucket
from .engine import RequestError, UnknownModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
BASE = "base_model_name_or_path"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*-([0-9a-f]{12})")
"""An adapter's name; the group is its digest."""


def named(subject: str, digest: str) -> str:
    """What an adapter is called: whose it is, and what it is."""
    return f"{subject}-{digest[:12]}"


def folder_of(adapters: str, name: str) -> Path:
    """Where the adapter of this name lies on this machine; from a bucket it is copied here first, and checked.

    Raises UnknownModel for what is no adapter's name, for a link, and for what no bucket holds.
    """
    if not NAME.fullmatch(name):
        raise UnknownModel(f"{name!r} is no adapter's name", "model")
    if engine_bucket.remote(adapters):
        return _copied(adapters, name)
    folder = engine_bucket.path(adapters) / name
    if folder.is_symlink():
        raise UnknownModel(f"{name!r} is no adapter's name", "model")
    return folder


def _copied(adapters: str, name: str) -> Path:
    try:
        return engine_bucket.bucket(adapters).copy(name, (CONFIG, WEIGHTS), read)
    except FileNotFoundError as error:
        raise UnknownModel(f"there is no adapter {name!r}", "model") from error


def base_of(folder: Path) -> str | None:
    """The base model an adapter's folder names as its own; None where the folder holds no whole adapter."""
    if not (folder / WEIGHTS).is_file():
        return None
    try:
        return str(json.loads(_bytes(folder / CONFIG))[BASE])
    except (OSError, ValueError, LookupError, TypeError):
        return None


@lru_cache(maxsize=100_000)
def _base_in_bucket(adapters: str, name: str) -> str:
    """The base of an adapter in a bucket, remembered as a name never means another. Raises LookupError for none."""
    bucket = engine_bucket.bucket(adapters)
    if not NAME.fullmatch(name) or not bucket.has(name, WEIGHTS):
        raise LookupError(name)
    try:
        return str(json.loads(bucket.read(name, CONFIG))[BASE])
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise LookupError(name) from error


def base_named(adapters: str, name: str) -> str | None:
    """The base of the adapter of this name; None where there is no such adapter, or could be none."""
    try:
        bucket = engine_bucket.remote(adapters)
        return _base_in_bucket(adapters, name) if bucket else base_of(folder_of(adapters, name))
    except (UnknownModel, LookupError):
        return None


def same_base(one: str, other: str) -> bool:
    """Whether two names mean one model: equal, or paths to one folder."""
    return one == other or Path(one).resolve() == Path(other).resolve()


def belongs(adapters: str | None, name: str, base: str) -> bool:
    """Whether an adapter of this base lies in the adapters' folder under this name."""
    found = base_named(adapters, name) if adapters else None
    return found is not None and same_base(found, base)


def adapters_in(adapters: str) -> Iterator[tuple[str, str]]:
    """The name and the base of every adapter in a folder, by name; the folder may not exist yet."""
    if engine_bucket.remote(adapters):
        names = engine_bucket.bucket(adapters).names()
    else:
        names = sorted(child.name for child in engine_bucket.path(adapters).glob("*"))
    for name in names:
        if base := base_named(adapters, name):
            yield name, base


def read(folder: Path) -> tuple[dict[str, Any], bytes]:
    """An adapter's settings and its weights, as they were read and found to be those of its name.

    Raises RequestError for bytes that are not. They are read once, so that none can change between check and use.
    """
    try:
        weights, config = _bytes(folder / WEIGHTS), json.loads(_bytes(folder / CONFIG))
        found = _digest(config, weights)
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(f"adapter {folder.name} cannot be read ({error}); train it again", "model") from error
    wanted = NAME.fullmatch(folder.name)
    if wanted is None or not found.startswith(wanted[1]):
        raise RequestError(
            f"adapter {folder.name} holds other bytes than its name says (their SHA-256 begins {found[:12]}); "
            "delete its folder and run again",
            "model",
        )
    return config, weights


def digest(folder: Path) -> str:
    """The SHA-256 of what an adapter computes."""
    return _digest(json.loads(_bytes(folder / CONFIG)), _bytes(folder / WEIGHTS))


def holds(folder: Path, sha: str) -> bool:
    """Whether the adapter of this SHA-256 lies in a folder, whole."""
    try:
        return digest(folder) == sha
    except (OSError, ValueError):
        return False


def _digest(config: Mapping[str, Any], weights: bytes) -> str:
    """PEFT writes sets as lists in any order, and they are sets still."""
    told = {
        key: sorted(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value
        for key, value in config.items()
        if key != BASE
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode() + b"\0" + weights).hexdigest()


def _bytes(file: Path) -> bytes:
    """A file's content. Raises OSError for a link, wherever it leads."""
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as source:
        return source.read()
