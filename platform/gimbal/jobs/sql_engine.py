"""A database and how Gimbal runs transactions on it.

SQLite: WAL, so that readers never wait; `synchronous=FULL`, since an accepted job must outlive a
power cut; `BEGIN IMMEDIATE` for writes, since a read that later turns into a write can fail in a
way no waiting mends. Postgres: writes in READ COMMITTED with row locks, reads in one snapshot.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, TimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from gimbal.jobs.sql_errors import explained, is_transient
from gimbal.jobs.store_errors import StoreUnavailable, UnusableUrl

PATIENCE_S = 10.0
"""How long a request may wait for a lock: less than clients wait for an answer."""
_IN_MEMORY = (None, "", ":memory:")
_TRIES = 4
_PAUSE_S = 0.02
_POOL = {"pool_size": 8, "max_overflow": 32, "pool_timeout": PATIENCE_S}
"""As many connections as FastAPI has threads; most of the time a few are kept."""
_POSTGRES_OPTIONS = (
    "-c timezone=utc"
    " -c idle_in_transaction_session_timeout=60s"  # a stopped process must not keep the lease's row
)

T = TypeVar("T")


class Database:
    """Runs functions as transactions, each again a few times if another one was in the way.

    Args:
        url: `sqlite:///FILE`, `sqlite://` (in memory, gone with this object) or
            `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`.
        patience_s: How long a transaction waits for another one's lock.

    Raises:
        UnusableUrl: It is none of these.
    """

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        self.url = parse_url(url)
        self._patience_s = patience_s
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and self.url.database in _IN_MEMORY
        connect = _sqlite if self.is_sqlite else _postgres
        self._engine = connect(self.url, patience_s)
        options = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        self._reader = self._engine.execution_options(**options, postgresql_readonly=True)
        self._writer = self._engine.execution_options(gimbal_write=True)
        # Threads of one process queue here in turn; SQLite itself would make them poll.
        self._turn = threading.RLock()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` finds in one consistent state.

        Raises:
            StoreUnavailable: The database does not answer or stays locked.
        """
        return self._tried(lambda: self._once(self._reader, work, exclusive=self.in_memory))

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` and commit it whole; nothing of it remains if it raises.

        `work` may run several times, so it must have no effect outside the database.

        Raises:
            StoreUnavailable: The database does not answer, stays locked or cannot write.
        """
        return self._tried(lambda: self._once(self._writer, work, exclusive=self.is_sqlite))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _once(self, engine: Engine, work: Callable[[Connection], T], *, exclusive: bool) -> T:
        if not exclusive:
            with engine.begin() as connection:
                return work(connection)
        with self._my_turn(), engine.begin() as connection:
            return work(connection)

    def _tried(self, run: Callable[[], T]) -> T:
        until = time.monotonic() + self._patience_s
        for tries_left in reversed(range(_TRIES)):
            try:
                return run()
            except DBAPIError as error:
                late = time.monotonic() >= until
                if not tries_left or late or not is_transient(error):
                    raise explained(error, self.url) or error from error
            except TimeoutError as error:
                raise StoreUnavailable(
                    "every connection to the database is in use", "try again in a moment"
                ) from error
            time.sleep(_PAUSE_S * (_TRIES - tries_left) * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable: the last try returns or raises")

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self._patience_s):
            raise StoreUnavailable("the database is busy in this process", "try again in a moment")
        try:
            yield
        finally:
            self._turn.release()


def parse_url(url: str) -> URL:
    """Return a database URL with the driver Gimbal uses.

    Raises:
        UnusableUrl: It names no SQLite file and no Postgres database.
    """
    remedy = "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UnusableUrl("the text given as database is no URL", remedy) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise UnusableUrl(f"Gimbal cannot use a {backend} database", remedy)


def _sqlite(url: URL, patience_s: float) -> Engine:
    connect_args = {"timeout": patience_s, "check_same_thread": False}
    if url.database in _IN_MEMORY:
        engine = create_engine(url, poolclass=StaticPool, connect_args=connect_args)
    else:
        engine = create_engine(url, connect_args=connect_args, **_POOL)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # else sqlite3 begins transactions of its own
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    if mode not in ("wal", "memory"):  # asked only once: the change needs the file for itself
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("gimbal_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: URL, patience_s: float) -> Engine:
    milliseconds = int(patience_s * 1000)
    options = f"{_POSTGRES_OPTIONS} -c lock_timeout={milliseconds}"
    try:
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 5, "options": options},
            **_POOL,
        )
    except ModuleNotFoundError as error:
        raise UnusableUrl(
            "Postgres needs the package psycopg, which is not installed",
            "pip install 'gimbal[postgres]'",
        ) from error
