"""A database that is away, locked, damaged or foreign: one sentence, never a traceback of SQL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from store_support import NOW, later, lease_of, spec, submitted

from gimbal.errors import GimbalError
from gimbal.jobs.schema import upgrade
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
from gimbal.jobs.store_errors import StoreUnavailable, UnusableUrl
from gimbal.testing.postgres_server import PostgresServer

USES: list[Callable[[SqlJobStore], object]] = [
    lambda store: store.ping(),
    lambda store: store.active(),
    lambda store: store.submit(spec(), now=NOW),
    lambda store: store.take_lease("one", now=NOW, seconds=1),
]


def assert_unavailable(url: str, match: str) -> None:
    store = SqlJobStore(url)
    for use in USES:
        with pytest.raises(StoreUnavailable, match=match) as caught:
            use(store)
        assert caught.value.remedy
    store.close()


@pytest.mark.parametrize(
    "url",
    ["", "jobs.sqlite3", "mysql://h/d", "sqlite+aiosqlite:///x", "postgresql://h:port/d", "::"],
)
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    if url.startswith("sqlite+"):
        SqlJobStore(url).close()  # the driver is ours to choose
        return
    with pytest.raises(UnusableUrl):
        SqlJobStore(url)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert_unavailable(sqlite_url(tmp_path / "none" / "jobs.sqlite3"), "none/jobs.sqlite3")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    assert_unavailable(sqlite_url(tmp_path), "cannot be used")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    path.write_bytes(b"no database " * 1000)
    assert_unavailable(sqlite_url(path), "another file")
    with pytest.raises(GimbalError, match="another file"):
        upgrade(sqlite_url(path))


def test_names_of_files_may_hold_anything(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "a b?c=d#e%20é" / "jobs.sqlite3")
    upgrade(url)
    store = SqlJobStore(url)
    submitted(store)
    store.close()
    assert (tmp_path / "a b?c=d#e%20é" / "jobs.sqlite3").exists()


def test_a_full_disk_is_said_and_nothing_half_is_written(sqlite_file_url: str) -> None:
    store = SqlJobStore(sqlite_file_url)
    kept = submitted(store)

    def fill() -> None:
        large = {"text": "x" * 1_000_000}
        store._db.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=60"))
        store.submit(spec(config=large), now=NOW, key="k")

    with pytest.raises(StoreUnavailable, match="free some space"):
        fill()
    assert store.active() == (kept,)
    store.close()


def test_a_lock_that_stays_is_said_and_one_that_goes_is_waited_for(
    sqlite_file_url: str, tmp_path: Path
) -> None:
    store = SqlJobStore(sqlite_file_url)
    store._db = Database(sqlite_file_url, patience_s=0.2)
    other = sqlite3.connect(tmp_path / "jobs.sqlite3", check_same_thread=False)
    other.isolation_level = None
    other.execute("BEGIN IMMEDIATE")
    assert store.active() == ()  # who reads never waits
    with pytest.raises(StoreUnavailable, match="busy"):
        submitted(store)
    release = threading.Timer(0.05, lambda: other.execute("COMMIT"))
    release.start()
    submitted(store)
    release.join()
    assert len(store.active()) == 1
    other.close()
    store.close()


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://ada:s3cret@/jobs?host={tmp_path}"
    assert_unavailable(url, r"ada:\*\*\*@/jobs.*does not answer")


def test_an_unknown_database_or_user_is_said(postgres: PostgresServer) -> None:
    assert_unavailable(postgres.url("nowhere"), "nowhere")


def test_a_server_that_threw_everybody_out_is_joined_again(
    postgres: PostgresServer, postgres_url: str
) -> None:
    store = SqlJobStore(postgres_url)
    lease = lease_of(store)
    throw_out(postgres, postgres_url)
    store.renew_lease(lease, now=later(1), seconds=30)
    store.close()


def test_a_connection_lost_in_mid_transaction_is_no_traceback(
    postgres: PostgresServer, postgres_url: str
) -> None:
    store = SqlJobStore(postgres_url)

    def work(connection: object) -> None:
        throw_out(postgres, postgres_url)
        connection.execute(text("SELECT 1"))  # type: ignore[attr-defined]

    with pytest.raises(StoreUnavailable, match="does not answer"):
        store._db.write(work)
    assert submitted(store) in store.active()
    store.close()


def throw_out(postgres: PostgresServer, url: str) -> None:
    """End every connection to a database, as a restart of the server does."""
    engine = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
    with engine.connect() as connection:
        ended = connection.execute(text(query), {"name": make_url(url).database}).all()
    engine.dispose()
    assert ended
