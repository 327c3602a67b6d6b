"""`JobStore` on SQLite or Postgres.

One class made of parts by subject, each a handful of short transactions on the same `Database`. The
rules of what may become what are in `changes`; what is here only makes them atomic.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, text

from gimbal.jobs.job_cache import JobCache
from gimbal.jobs.sql_attempts import SqlAttempts
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_holds import SqlHolds
from gimbal.jobs.sql_jobs import SqlJobs
from gimbal.jobs.sql_leases import SqlLeases
from gimbal.jobs.sql_quarantines import SqlQuarantines
from gimbal.jobs.sql_schema import metadata
from gimbal.jobs.sql_tokens import SqlTokens
from gimbal.jobs.sql_usage import SqlUsage, UsageMemory


class SqlJobStore(SqlJobs, SqlAttempts, SqlLeases, SqlUsage, SqlHolds, SqlQuarantines, SqlTokens):
    """The job store in a database; safe to use from many threads and processes.

    Every method raises `StoreUnavailable` when the database does not answer.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://…`, brought up to date by
            `gimbal.jobs.schema.upgrade` before; `sqlite://` makes one in memory.

    Raises:
        UnusableUrl: It is none of these.
    """

    def __init__(self, url: str) -> None:
        self._db = Database(url)
        self._cache = JobCache()
        self._usage = UsageMemory()
        if self._db.in_memory:
            self._db.write(metadata.create_all)

    def ping(self) -> None:
        """Raise `StoreUnavailable` if the database does not answer."""
        self._db.read(lambda connection: connection.execute(text("SELECT 1")))

    def close(self) -> None:
        """Close every connection."""
        self._db.close()


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, whatever characters its name has."""
    return URL.create("sqlite", database=str(path)).render_as_string()
