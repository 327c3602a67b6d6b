"""`Range: bytes=…` of one range, as RFC 9110 has it; anything else is ignored, as it asks for."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=\s*([0-9]{0,15})-([0-9]{0,15})\s*", re.IGNORECASE)


class NotSatisfiable(Exception):
    """The range lies behind the end."""


def requested(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end (exclusive) of what is asked for; None: all of it.

    Args:
        header: The value of `Range`.
        size: Length of the whole, in bytes.

    Raises:
        NotSatisfiable: There is nothing in it.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise NotSatisfiable
    return start, end
