"""What a database's own errors mean: try again, or a sentence for the operator."""

from __future__ import annotations

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, IntegrityError

from gimbal.errors import GimbalError
from gimbal.jobs.store_errors import StoreUnavailable

_SQLITE_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_POSTGRES_BUSY = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # a lock was not had in time
}
_NO_SCHEMA = {"42P01", "42703"}
_CLASSES_OF_TROUBLE = ("08", "53", "57", "28", "3D", "25", "58")
"""Classes: connection, resources, operator, login, no such database, read-only, system."""

_SQLITE_REMEDIES = {
    "SQLITE_CANTOPEN": "make its folder, or choose one you may write to",
    "SQLITE_READONLY": "mend the permissions of the file and of its folder",
    "SQLITE_PERM": "mend the permissions of the file and of its folder",
    "SQLITE_FULL": "free some space there",
    "SQLITE_NOTADB": "name another file: this one is no SQLite database",
    "SQLITE_CORRUPT": "restore it from a backup",
    "SQLITE_IOERR": "look at the disk; a network file system cannot hold it",
}


def is_transient(error: DBAPIError) -> bool:
    """Return whether the same transaction may succeed if it is run again.

    A broken constraint means that somebody was faster: on the second run the checks see what the
    other one wrote and say so properly.
    """
    if isinstance(error, IntegrityError):
        return True
    return _sqlite_name(error).startswith(_SQLITE_BUSY) or _sqlstate(error) in _POSTGRES_BUSY


def explained(error: DBAPIError, url: URL) -> GimbalError | None:
    """Return the error to raise instead, or None where it is a bug of ours."""
    if isinstance(error, IntegrityError):
        return None
    shown = url.render_as_string(hide_password=True)
    name, state = _sqlite_name(error), _sqlstate(error)
    if is_transient(error):
        return StoreUnavailable(
            f"{shown} is busy: {_words(error)}",
            "try again; see which process keeps it locked",
        )
    if state in _NO_SCHEMA or _lacks_schema(error):
        return StoreUnavailable(
            f"{shown} has no tables of this version of Gimbal: {_words(error)}",
            "start `gimbal serve` with it: that makes or upgrades them",
        )
    for prefix, remedy in _SQLITE_REMEDIES.items():
        if name.startswith(prefix):
            return StoreUnavailable(f"{shown} cannot be used: {_words(error)}", remedy)
    if _is_postgres_trouble(error, state):
        return StoreUnavailable(
            f"{shown} does not answer: {_words(error)}",
            "check that the server runs and that host, user, password and database are right",
        )
    return None


def _is_postgres_trouble(error: DBAPIError, state: str) -> bool:
    if type(error.orig).__module__.partition(".")[0] != "psycopg":
        return False
    without_state = type(error.orig).__name__ in ("OperationalError", "ConnectionTimeout")
    return (
        error.connection_invalidated
        or state.startswith(_CLASSES_OF_TROUBLE)
        or (not state and without_state)
    )


def _lacks_schema(error: DBAPIError) -> bool:
    return _sqlite_name(error) == "SQLITE_ERROR" and _words(error).startswith(
        ("no such table", "no such column")
    )


def _words(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())[:300]


def _sqlite_name(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlite_errorname", None) or "")


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
