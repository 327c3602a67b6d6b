"""A job store without a server or a file: the real one, on SQLite in memory."""

from __future__ import annotations

from gimbal.jobs.sql_store import SqlJobStore


def InMemoryJobStore() -> SqlJobStore:  # noqa: N802 - the name its users expect of the fake
    """Return an empty store that is gone when it is closed."""
    return SqlJobStore("sqlite://")
