"""A real Postgres server for tests and measurements: made in seconds, gone afterwards.

It listens on a Unix socket in its own folder only, so no port can be taken and nobody else can
reach it. Postgres refuses to run as root; there it runs as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

_USERS = ("postgres", "nobody")
_START_TIMEOUT_S = 30.0
_UNSAFE_BUT_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class NoPostgres(Exception):
    """No Postgres server could be started here; says why."""


def find_postgres() -> Path:
    """Return the newest folder with `initdb` and `postgres`.

    Raises:
        NoPostgres: There is none.
    """
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    raise NoPostgres("no initdb and postgres on PATH or in /usr/lib/postgresql")


def _version(folder: Path) -> float:
    try:
        return float(folder.parent.name)
    except ValueError:
        return 0.0


class PostgresServer:
    """A running server.

    Attributes:
        folder: Its data and its socket.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self._process = process

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database on it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"t{uuid.uuid4().hex[:12]}"
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)

    def stop(self) -> None:
        """Shut down and wait; clients are thrown out."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Start a server with an empty cluster, and remove both at the end.

    Args:
        durable: Write as a real server does, not as fast as a test can bear.

    Raises:
        NoPostgres: It cannot be had here.
    """
    binaries = find_postgres()
    folder = Path(tempfile.mkdtemp(prefix="gimbal-pg-", dir="/tmp"))  # sockets need short paths
    try:
        identity = _identity(folder)
        _initialise(binaries, folder, identity)
        server = PostgresServer(
            folder, _start(binaries, folder, identity, () if durable else _UNSAFE_BUT_FAST)
        )
        try:
            _wait(server)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    for name in _USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoPostgres(f"Postgres cannot run as root and there is no user {' or '.join(_USERS)}")


def _initialise(binaries: Path, folder: Path, identity: dict[str, Any]) -> None:
    command = [str(binaries / "initdb"), "--pgdata", str(folder / "data")]
    command += ["--username", "postgres", "--auth", "trust", "--no-sync"]
    command += ["--encoding", "UTF8", "--locale", "C"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **identity)
    if done.returncode:
        raise NoPostgres(f"initdb failed: {done.stderr.strip()[-500:]}")


def _start(
    binaries: Path, folder: Path, identity: dict[str, Any], settings: tuple[str, ...]
) -> subprocess.Popen[bytes]:
    command = [str(binaries / "postgres"), "-D", str(folder / "data")]
    for setting in ("listen_addresses=", f"unix_socket_directories={folder}", *settings):
        command += ["-c", setting]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **identity
        )


def _wait(server: PostgresServer) -> None:
    engine = create_engine(server.url())
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            engine.connect().close()
            break
        except Exception as error:  # whatever the driver says while the server starts
            if time.monotonic() > deadline:
                log = (server.folder / "log").read_text(errors="replace")[-500:]
                raise NoPostgres(f"Postgres does not start: {log}") from error
            time.sleep(0.05)
    engine.dispose()
