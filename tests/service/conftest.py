"""The job store's databases: a SQLite file for each test, and one real Postgres server for all.

Without Postgres on the machine its half is skipped, unless GIMBAL_REQUIRE_POSTGRES is set: CI must
not pass by leaving it out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from api_support import Lab, made_lab
from store_processes import Processes

from gimbal.jobs.schema import upgrade
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import metadata
from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
from gimbal.testing.postgres_server import NoPostgres, PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running Postgres server."""
    running = postgres_server()
    try:
        server = running.__enter__()
    except NoPostgres as error:
        if os.environ.get("GIMBAL_REQUIRE_POSTGRES"):
            pytest.fail(f"GIMBAL_REQUIRE_POSTGRES is set, but: {error}")
        pytest.skip(str(error))
    try:
        yield server
    finally:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def shared_postgres(postgres: PostgresServer) -> Iterator[tuple[str, Database]]:
    """A database with today's tables, for one test after the other."""
    url = postgres.new_database()
    upgrade(url)
    database = Database(url)
    yield url, database
    database.close()


@pytest.fixture
def postgres_url(shared_postgres: tuple[str, Database]) -> str:
    """The same database, emptied."""
    url, database = shared_postgres
    emptied = "; ".join(f"DELETE FROM {t.name}" for t in reversed(metadata.sorted_tables))
    database.write(lambda connection: connection.exec_driver_sql(emptied))
    return url


@pytest.fixture(scope="session")
def upgraded_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with today's tables, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "jobs.sqlite3"
    upgrade(sqlite_url(path))
    return path


@pytest.fixture
def sqlite_file_url(tmp_path: Path, upgraded_sqlite_file: Path) -> str:
    """A fresh SQLite file with today's tables."""
    return sqlite_url(Path(shutil.copy(upgraded_sqlite_file, tmp_path)))


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty, upgraded database of each kind."""
    fixture = "sqlite_file_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(fixture))


@pytest.fixture
def store(store_url: str) -> Iterator[SqlJobStore]:
    """A store in each kind of database."""
    opened = SqlJobStore(store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """A running event loop, to call an API in."""
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def make_lab(tmp_path: Path, portal: BlockingPortal) -> Iterator[Callable[..., Lab]]:
    """Make an API with the settings named; see `api_support.made_lab`."""
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(made_lab(tmp_path, portal, **how))


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """An API with nothing in it."""
    return make_lab()


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Starts processes that use a store."""
    started = Processes(tmp_path_factory.mktemp("processes"))
    yield started
    started.close()
