"""Where this machine keeps what it can make or fetch again."""

import os
from pathlib import Path


def folder() -> Path:
    """$WARMTH_CACHE, or ~/.cache/warmth."""
    return Path(os.environ.get("WARMTH_CACHE") or Path.home() / ".cache" / "warmth").resolve()
