"""Bytes and durations in words, the same wherever a GPU is spoken of."""

from __future__ import annotations

import re

MIB = 1024**2
GIB = 1024**3
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")


def size(count: int) -> str:
    """Return bytes for people: `14.1 GiB`, below a GiB `300 MiB`."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def duration(seconds: float) -> str:
    """Return a duration for people: `48 s`, `5 min`, `2.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def parse_duration_s(text: str | float) -> float:
    """Read `90`, `30s`, `5 min`, `2h` or `1d`; a bare number is in seconds.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        value = float(text)
    else:
        match = _DURATION.fullmatch(str(text).strip())
        if match is None:
            raise ValueError(f"{text!r} is no duration: write 30s, 5m or 2h")
        value = float(match[1]) * _UNITS_S[match[2] or "s"]
    if not 0 <= value < 1e9:
        raise ValueError(f"{text!r} is no duration: write 30s, 5m or 2h")
    return value


def counted(count: int, noun: str) -> str:
    """Return `1 sample`, `2 samples`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
