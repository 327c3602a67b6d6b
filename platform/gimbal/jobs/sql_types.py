"""Column types that mean the same on SQLite and Postgres.

JSON is kept as text: nothing is searched inside it, and Postgres' own JSON types refuse the
infinity and the escaped NUL that a valid config may hold.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from gimbal.jobs.store_errors import BadQuery

MAX_NAME = 255
"""Characters of a name: Postgres indexes no text of more than some 2,700 bytes."""


class UtcTime(TypeDecorator[datetime]):
    """An aware time; stored in UTC, given back in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC, without its zone where the database keeps none."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the time its zone back."""
        if value is None:
            return None
        time: datetime = value
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """Plain data as compact JSON; NaN and infinity survive."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Write JSON; characters beyond ASCII are escaped, so that any text can be stored."""
        return json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read JSON."""
        return json.loads(value)


class SafeText(TypeDecorator[str]):
    """Text as it comes from processes and people: what no database can store is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace NUL and lone surrogates."""
        return None if value is None else storable(value)


def require_name(what: str, name: str) -> None:
    """Refuse a name that is too long for an index.

    Raises:
        BadQuery: Naming what it is.
    """
    if len(name) > MAX_NAME:
        raise BadQuery(f"a {what} of {len(name)} characters is too long", f"use {MAX_NAME} at most")


def require_integer(what: str, value: int, bits: int) -> None:
    """Refuse a number that a column cannot hold.

    Raises:
        BadQuery: Naming what it is.
    """
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise BadQuery(f"{what} of {value:.3e} is out of all bounds", "give a smaller number")


def storable(text: str) -> str:
    """Return text without NUL and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
