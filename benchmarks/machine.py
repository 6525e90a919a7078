"""On which machine, and when, a figure was taken."""

import os
import platform
from datetime import UTC, datetime


def here() -> str:
    """The date and the machine, in words."""
    return f"{datetime.now(UTC).date()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores"
