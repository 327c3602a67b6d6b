"""Sizes and durations as people type and read them.

Sizes are read as pydantic's `ByteSize` reads them in configs (`GB` and `G` are 10^9, `GiB` is
2^30), so that `--gpu-memory` and `gpu_memory:` mean the same; only the standard library is needed,
because the command line imports this before anything else.
"""

from __future__ import annotations

import math
import re

from gimbal.errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800}
_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_PART = re.compile(rf"({_NUMBER})\s*(ms|s|min|m|h|d|w)\s*")
_SIZE = re.compile(rf"({_NUMBER})\s*(?:([KMGTP])(I?))?(B?)", re.IGNORECASE)
_LONGEST_S = 1e10
"""Three centuries: more is a slip of the finger, and overflows dates."""
_MOST_BYTES = 2**63 - 1


def parse_duration(text: str) -> float:
    """Read `2h30m`, `90s`, `1.5 h` or `1 d 6 h` as seconds.

    A number alone is refused: `--for 2` would mean seconds to one and hours to another.

    Raises:
        ConfigError: It is no duration.
    """
    stripped, end, seconds = text.strip().lower(), 0, 0.0
    while (part := _PART.match(stripped, end)) is not None:
        seconds += float(part[1]) * _SECONDS[part[2]]
        end = part.end()
    if not stripped or end != len(stripped) or seconds > _LONGEST_S:
        raise ConfigError(
            f"{text[:80]!r} is not a duration", "write a number and a unit: 90s, 30m, 2h30m or 1d"
        )
    return seconds


def parse_memory(text: str) -> int:
    """Read `10GiB`, `512 MiB`, `24GB` or a number of bytes as bytes, rounded down.

    Raises:
        ConfigError: It is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[4]):
        raise ConfigError(
            f"{text[:80]!r} is not a size of memory", "write a number and a unit: 10GiB or 512MiB"
        )
    base, power = (1024 if found[3] else 1000), "kmgtp".find((found[2] or " ").lower()) + 1
    size = float(found[1]) * base**power if "." in found[1] else int(found[1]) * base**power
    if size > _MOST_BYTES:
        raise ConfigError(f"{text[:80]!r} is more memory than there is", "write for example 10GiB")
    return int(size)


def in_bytes(count: float) -> str:
    """Return a size for a person: `14.0 GiB`, `512 MiB`, `3 KiB` or `17 bytes`."""
    for power, unit in ((4, "TiB"), (3, "GiB")):
        if abs(count) >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    for power, unit in ((2, "MiB"), (1, "KiB")):
        if abs(count) >= 1024**power:
            return f"{count / 1024**power:.0f} {unit}"
    return "1 byte" if count == 1 else f"{count:.0f} bytes"


def in_duration(seconds: float) -> str:
    """Return a duration for a person in at most two units: `45 s`, `5 min 20 s`, `1 h 2 min`.

    Less than nothing (two clocks that disagree) is `0 s`; what is not finite is `?`.
    """
    if not math.isfinite(seconds):
        return "?"
    left, parts = max(0, round(seconds)), []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"
