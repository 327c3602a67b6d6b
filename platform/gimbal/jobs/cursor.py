"""Cursors of pages: where the next page begins, as text that nobody needs to read.

A cursor is the position of the last job shown, not an offset: jobs that arrive between two pages
neither repeat a job nor hide one. The filters are part of it, since with others it means nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime, timedelta

from gimbal.jobs.store_errors import BadQuery

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MAX_CHARACTERS = 200
_MAX_SEQ = 2**63 - 1

Position = tuple[datetime, int]
"""When a job was submitted, and its number among all."""


def filters_mark(*filters: object) -> str:
    """Return a short mark of the filters a cursor belongs to."""
    return hashlib.sha256(repr(filters).encode("utf-8", "replace")).hexdigest()[:8]


def write_cursor(position: Position, mark: str) -> str:
    """Return the cursor of the page after `position`."""
    at, seq = position
    plain = json.dumps([(at - _EPOCH) // _MICROSECOND, seq, mark], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read_cursor(cursor: str, mark: str) -> Position:
    """Return the position a cursor stands for.

    Raises:
        BadQuery: It is damaged, or was made with other filters.
    """
    micros, seq, made_for = _parts(cursor)
    if made_for != mark:
        raise _bad("belongs to a list with other filters")
    try:
        return _EPOCH + micros * _MICROSECOND, seq
    except OverflowError as error:
        raise _bad("is damaged") from error


def _parts(cursor: str) -> tuple[int, int, str]:
    if len(cursor) > _MAX_CHARACTERS:
        raise _bad("is damaged")
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        parts = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
        micros, seq, mark = parts
    except (binascii.Error, ValueError, TypeError) as error:
        raise _bad("is damaged") from error
    if type(micros) is not int or type(seq) is not int or not 0 <= seq <= _MAX_SEQ:
        raise _bad("is damaged")
    return micros, seq, str(mark)


def _bad(why: str) -> BadQuery:
    return BadQuery(f"the cursor {why}", "take `next_cursor` of the page before, or leave it out")
