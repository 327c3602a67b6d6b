"""A job store without a server or a file: the real one, on SQLite in memory."""

from __future__ import annotations

from gimbal.jobs.sql_store import SqlJobStore


class InMemoryJobStore(SqlJobStore):
    """An empty store that is gone when it is closed."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
