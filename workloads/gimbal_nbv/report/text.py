"""Numbers as a reader wants them: sensible precision, a true minus, a dash for what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MISSING = "–"
NARROW = "\u202f"
"""Narrow no-break space between a number and its unit."""
NO_BREAK = "\u00a0"


def finite(value: object) -> float | None:
    """Return a finite number as float, anything else (None, NaN, text, bool) as None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def floats(values: object) -> list[float | None]:
    """Return a sequence of numbers with every unusable entry as None."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        return []
    return [finite(value) for value in values]


def numbers_in(mapping: object) -> dict[str, float]:
    """Return the entries of a mapping that are finite numbers."""
    if not isinstance(mapping, Mapping):
        return {}
    pairs = ((str(key), finite(value)) for key, value in mapping.items())
    return {key: value for key, value in pairs if value is not None}


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping unchanged and anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def records(value: object) -> list[Mapping[str, Any]]:
    """Return the mappings of a list, leaving out what is not one."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [item for item in value if isinstance(item, Mapping)]


def number(value: object, digits: int = 3, *, sign: bool = False) -> str:
    """Write a number with fixed digits; −0.000 becomes 0.000."""
    known = finite(value)
    if known is None:
        return MISSING
    rounded = round(known, digits) + 0.0
    return f"{rounded:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def percent(value: object, digits: int = 0, *, sign: bool = False) -> str:
    """Write a share as a percentage."""
    known = finite(value)
    if known is None:
        return MISSING
    return f"{number(known * 100, digits, sign=sign)}{NARROW}%"


def interval(bounds: object, *, digits: int = 3, share: bool = False) -> str:
    """Write a confidence interval as `[low, high]`, or nothing where there is none."""
    pair = floats(bounds)
    if len(pair) != 2 or pair[0] is None or pair[1] is None:
        return ""
    scale = 100 if share else 1
    return f"[{number(pair[0] * scale, digits)},{NO_BREAK}{number(pair[1] * scale, digits)}]"


def compact(value: object) -> str:
    """Write a number of unknown size with four significant digits; other values as text."""
    known = finite(value)
    if known is None:
        return MISSING if value is None or isinstance(value, float) else str(value)
    if known == int(known) and abs(known) < 1e7:
        return f"{int(known):,}".replace(",", NARROW).replace("-", "−")
    return f"{known:.4g}".replace("-", "−")


def duration(seconds: object) -> str:
    """Write a duration in the unit that reads best."""
    known = finite(seconds)
    if known is None:
        return MISSING
    if known < 1e-3:
        return f"{known * 1e6:.0f}{NARROW}µs"
    if known < 1:
        return f"{known * 1e3:.3g}{NARROW}ms"
    if known < 100:
        return f"{known:.3g}{NARROW}s"
    minutes, rest = divmod(round(known), 60)
    if minutes < 120:
        return f"{minutes}{NARROW}min {rest}{NARROW}s"
    return f"{minutes // 60}{NARROW}h {minutes % 60}{NARROW}min"


def plural(count: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{count} {one if count == 1 else many or one + 's'}"
