"""Migrations: they make what the code expects, keep what was stored, and run one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from store_processes import Processes
from store_support import NOW

from gimbal.jobs import schema
from gimbal.jobs.model import AttemptPhase, JobState
from gimbal.jobs.schema import VERSION_TABLE, upgrade
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import metadata
from gimbal.jobs.sql_store import SqlJobStore, sqlite_url
from gimbal.jobs.store_errors import SchemaTooNew, StoreUnavailable

SCRIPTS = ScriptDirectory(str(Path(str(schema.__file__)).parent / "migrations"))
REVISIONS = [script.revision for script in SCRIPTS.walk_revisions()][::-1]
RELEASED = Path(__file__).parent / "released_schemas"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "new folder" / "jobs.sqlite3")
    return str(request.getfixturevalue("postgres").new_database())


def in_database(url: str, work: Callable[[Connection], Any]) -> Any:
    database = Database(url)
    try:
        return database.write(work)
    finally:
        database.close()


def differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "version_table": VERSION_TABLE}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def test_a_fresh_upgrade_makes_what_the_code_expects(empty_url: str) -> None:
    assert upgrade(empty_url) == REVISIONS[-1]
    assert in_database(empty_url, differences) == []
    assert upgrade(empty_url) == REVISIONS[-1]  # and again is nothing


def test_the_comparison_would_see_a_difference(empty_url: str) -> None:
    upgrade(empty_url)
    in_database(empty_url, lambda c: c.execute(text("DROP INDEX uq_gimbal_cards_whole")))
    assert in_database(empty_url, differences) != []


def test_revisions_are_one_line_of_numbers() -> None:
    assert [f"{number:04}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS
    assert {path.stem for path in RELEASED.glob("*.sql")} == set(REVISIONS), (
        "every schema needs a file with rows as that version wrote them"
    )


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_an_older_version_stored_is_kept(empty_url: str, revision: str) -> None:
    upgrade(empty_url, to=revision)
    statements = (RELEASED / f"{revision}.sql").read_text().split(";\n")

    def fill(connection: Connection) -> None:
        for statement in filter(str.strip, statements):
            connection.exec_driver_sql(statement)

    in_database(empty_url, fill)
    assert upgrade(empty_url) == REVISIONS[-1]
    assert in_database(empty_url, differences) == []
    store = SqlJobStore(empty_url)
    going, waiting = store.active()
    assert (going.id, going.state, waiting.id) == ("job-aaaaaaaa", JobState.RUNNING, "job-bbbbbbbb")
    assert going.current is not None
    assert going.current.phase is AttemptPhase.RUNNING
    assert going.current.grants[0].uuid == "GPU-1"
    assert waiting.attempts[0].failure == "OOM_CONTENTION"
    assert waiting.spec.config == {"train": {"steps": 40}, "note": "ü\x00"}
    assert store.peak("k") == 2**34
    assert [hold.user for hold in store.holds(now=NOW)] == ["ada"]
    broken = [(card.uuid, card.node, card.index, card.reason) for card in store.quarantines()]
    assert broken == ([("GPU-2", "n", 2, "Xid 79")] if revision >= "0002" else [])
    assert store.identity_of("a" * 64, now=NOW) is not None
    assert store.submit(going.spec, now=NOW, key="old") == (going, False)
    store.close()


def test_a_database_of_a_later_version_is_refused(empty_url: str) -> None:
    upgrade(empty_url)
    later = text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    in_database(empty_url, lambda connection: connection.execute(later))
    with pytest.raises(SchemaTooNew, match="9999"):
        upgrade(empty_url)


def test_a_store_without_tables_says_what_makes_them(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "new folder").mkdir()
    store = SqlJobStore(empty_url)
    with pytest.raises(StoreUnavailable, match="gimbal serve"):
        store.active()
    store.close()


def test_services_that_start_together_upgrade_once(empty_url: str, processes: Processes) -> None:
    assert processes.run(empty_url, "upgrades", 4) == [REVISIONS[-1]] * 4
    assert in_database(empty_url, differences) == []


def test_an_upgrade_that_fails_leaves_the_schema_before(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            upgrade(empty_url)
    assert in_database(empty_url, lambda connection: inspect(connection).get_table_names()) == []
    assert upgrade(empty_url) == REVISIONS[-1]
