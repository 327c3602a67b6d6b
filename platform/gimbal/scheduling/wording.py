"""Sizes, counts and times as people read them."""

from __future__ import annotations

import time

_GIB = 1 << 30


def gib(size_bytes: int) -> str:
    """Return a size such as `18.0 GiB`."""
    return f"{size_bytes / _GIB:.1f} GiB"


def cards(count: int) -> str:
    """Return `1 card` or `N cards`."""
    return "1 card" if count == 1 else f"{count} cards"


def clock(at: float) -> str:
    """Return a moment such as `14:03:22 UTC`.

    A moment, not a countdown: the sentence then stays the same from one decision to the next, and
    is stored once.
    """
    return time.strftime("%H:%M:%S UTC", time.gmtime(at))
