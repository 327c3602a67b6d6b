"""The one place that reads the time for records."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the time, milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000
