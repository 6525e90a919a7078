"""What tells one row from another, and digests that are the same wherever they are computed."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

KEY = ("subject", "task", "sample", "context", "belief", "draw")
"""What tells one reply from another, in `replies/` and in `scores/`."""


def key(row: Any) -> tuple[Any, ...]:
    """What identifies a reply, a score or a planned question."""
    return tuple(getattr(row, name) for name in KEY)


def digest(*parts: object, length: int = 16) -> str:
    """A short SHA-256 over values that print the same wherever they are computed."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()[:length]


def digests(shared: Sequence[object], each: Iterable[Sequence[object]]) -> list[str]:
    """`digest(*shared, *parts)` for each of many; what they share is digested once."""
    begun, found = hashlib.sha256("".join(f"{part!r}\x1f" for part in shared).encode()), []
    for parts in each:
        whole = begun.copy()
        whole.update("\x1f".join(map(repr, parts)).encode())
        found.append(whole.hexdigest()[:16])
    return found
