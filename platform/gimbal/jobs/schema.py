"""Bringing a database to the schema of this code.

Upgrades run in one transaction under a lock of the database itself, so that several services may
start at the same moment and one that dies halfway leaves the old schema. There are no downgrades:
restore a backup.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from gimbal.experiment.files import ensure_folder
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.store_errors import SchemaTooNew

VERSION_TABLE = "gimbal_schema"
"""Not Alembic's own name for it, which MLflow uses in the same database."""
_LOCK = 0x67696D62616C
"""Number of the advisory lock on Postgres; any that others do not use."""
_PATIENCE_S = 600.0
"""How long one service waits for another one's upgrade of large tables."""


def upgrade(url: str, *, to: str = "head") -> str:
    """Bring a database to a schema, the newest unless told otherwise; safe at every start.

    Args:
        url: As for `SqlJobStore`; a SQLite file and its folder are made.
        to: A revision such as `0001`; for tests of upgrades.

    Returns:
        The revision the database has now.

    Raises:
        SchemaTooNew: A later version of Gimbal wrote it.
        StoreUnavailable: It does not answer.
    """
    database = Database(url, patience_s=_PATIENCE_S)
    if database.is_sqlite and not database.in_memory:
        ensure_folder(Path(str(database.url.database)).resolve().parent)
    try:
        return database.write(lambda connection: _upgrade(connection, to))
    finally:
        database.close()


def _upgrade(connection: Connection, to: str) -> str:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config(connection)
    _require_known(connection, config)
    command.upgrade(config, to)
    return _revision(connection) or ""


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "gimbal.jobs:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _require_known(connection: Connection, config: Config) -> None:
    revision = _revision(connection)
    if revision is None:
        return
    try:
        ScriptDirectory.from_config(config).get_revision(revision)
    except CommandError as error:
        raise SchemaTooNew(
            f"the job database has schema {revision}, which this version of Gimbal does not know",
            "install the version that wrote it, or name another database",
        ) from error


def _revision(connection: Connection) -> str | None:
    options = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=options).get_current_revision()
