"""`gimbal doctor` on what runs reach out to: Ray, MLflow, the runs folder, optional backends."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sqlite3
import stat
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from gimbal.cli.doctor_machine import nearest_folder
from gimbal.cli.doctor_model import Check
from gimbal.experiment.settings import TrackingSettings
from gimbal.tracking import uris
from gimbal.tracking.leftovers import runs_with_leftovers

GROUP = "Services"
OPTIONAL = "Optional"
_TIMEOUT_S = 3.0
_CURRENT_CLUSTER = Path("/tmp/ray/ray_current_cluster")
_TOKEN_FILE = Path(".ray") / "auth_token"
_GCS_PORT = 6379


def ray(environment: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Whether the Ray that runs would use answers."""
    address = environment.get("RAY_ADDRESS", "")
    if not address or address == "local":
        yield Check(group=GROUP, name="Ray", status="ok", value="each run starts its own")
        return
    where = _current_cluster() if address == "auto" else address
    if where is None:
        yield Check(
            group=GROUP,
            name="Ray",
            status="problem",
            value="RAY_ADDRESS is 'auto' and no Ray was started on this machine",
            remedy="start one with `ray start --head`, or unset RAY_ADDRESS",
        )
        return
    host, port = _host_and_port(where, _GCS_PORT)
    if failure := _refusal(host, port):
        yield Check(
            group=GROUP,
            name="Ray",
            status="problem",
            value=f"nothing answers at {address} ({host}:{port}): {failure}",
            remedy="start Ray there, correct RAY_ADDRESS, or unset it for a Ray of each run's own",
        )
        return
    yield Check(group=GROUP, name="Ray", status="ok", value=f"{address} answers")


def ray_auth(environment: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Whether this process would authenticate to Ray as its cluster expects."""
    mode = environment.get("RAY_AUTH_MODE", "")
    shared = bool(environment.get("RAY_ADDRESS"))
    name = "Ray authentication"
    if not mode:
        hint = "export RAY_AUTH_MODE=token (or disabled), the same on every machine of the cluster"
        value = "RAY_AUTH_MODE is not set; runs that start their own Ray use a token"
        if shared:
            yield Check(group=GROUP, name=name, status="absent", value=value, remedy=hint)
        else:
            yield Check(group=GROUP, name=name, status="ok", value=value)
        return
    value = f"RAY_AUTH_MODE={mode}"
    if mode == "token" and shared and not _token_known(environment):
        yield Check(
            group=GROUP,
            name=name,
            status="problem",
            value=f"{value}, but there is no token",
            remedy="copy the head's ~/.ray/auth_token here (chmod 600), or set RAY_AUTH_TOKEN_PATH",
        )
        return
    yield Check(group=GROUP, name=name, status="ok", value=value, remedy=_open_token(environment))


def mlflow(runs_dir: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Whether the store that runs would be tracked in answers, and whether anything waits for it.

    Raises:
        ConfigError: `MLFLOW_TRACKING_URI` names a store MLflow no longer supports.
    """
    uri = uris.resolve_uri(TrackingSettings(), runs_dir, environment)
    shown = uris.redacted(uri)
    failure = _store_failure(uri)
    if failure is None:
        value = f"{shown} answers"
        database = uris.database_file(uri)
        if database is not None and not database.exists():
            value = f"{shown}, made by the first run"
        yield Check(group=GROUP, name="MLflow", status="ok", value=value)
    else:
        yield Check(
            group=GROUP,
            name="MLflow",
            status="problem",
            value=f"{shown}: {failure}",
            remedy="start the server or correct MLFLOW_TRACKING_URI; runs go on without it and "
            "deliver later",
        )
    waiting = sum(1 for _ in runs_with_leftovers(runs_dir))
    if waiting:
        yield Check(
            group=GROUP,
            name="not in MLflow yet",
            status="absent",
            value=f"something of {waiting} run(s); runs going on are among them",
            remedy="gimbal runs sync",
        )


def runs_folder(runs_dir: Path) -> Iterator[Check]:
    """Whether runs can be kept."""
    folder = nearest_folder(runs_dir)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as exc:
        yield Check(
            group=GROUP,
            name="runs folder",
            status="problem",
            value=f"{folder} cannot be written: {exc.strerror}",
            remedy="choose another folder (--runs-dir, platform.runs_dir=…) or its permissions",
        )
        return
    state = "" if folder == runs_dir.absolute() else ", made by the first run"
    value = f"{runs_dir.absolute()}{state}"
    yield Check(group=GROUP, name="runs folder", status="ok", value=value)


def optional_backends() -> Iterator[Check]:
    """What can be added, and how."""
    yield _package("warp", "warp-lang", "CUDA renderer: pip install 'gimbal[warp]'")
    yield _package(
        "pytorch3d",
        "pytorch3d",
        "differentiable renderer, built from source as INSTALL.md says: "
        "https://github.com/facebookresearch/pytorch3d",
    )
    yield _package(
        "mapanything",
        "mapanything",
        "reconstruction model, from source: https://github.com/facebookresearch/map-anything",
    )
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    yield Check(
        group=OPTIONAL,
        name="chromium",
        status="ok" if browser else "absent",
        value=browser or "not found",
        remedy="" if browser else "for browser tests only: install your system's chromium package",
    )


def _package(module: str, distribution: str, how: str) -> Check:
    spec = importlib.util.find_spec(module)
    if spec is None:
        return Check(
            group=OPTIONAL, name=module, status="absent", value="not installed", remedy=how
        )
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        version = "version unknown"
    place = str(Path(spec.origin).parent) if spec.origin else ""
    return Check(group=OPTIONAL, name=module, status="ok", value=version, place=place)


def _current_cluster() -> str | None:
    try:
        return _CURRENT_CLUSTER.read_text().strip() or None
    except OSError:
        return None


def _host_and_port(address: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    return parts.hostname or "127.0.0.1", parts.port or default_port


def _refusal(host: str, port: int) -> str | None:
    try:
        with closing(socket.create_connection((host, port), timeout=_TIMEOUT_S)):
            return None
    except OSError as exc:
        return exc.strerror or str(exc)


def _token_known(environment: Mapping[str, str]) -> bool:
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    return bool(environment.get("RAY_AUTH_TOKEN")) or _token_file(named).is_file()


def _token_file(named: str | None) -> Path:
    return Path(named) if named else Path.home() / _TOKEN_FILE


def _open_token(environment: Mapping[str, str]) -> str:
    """Return a hint when other users of this machine may read the token."""
    file = _token_file(environment.get("RAY_AUTH_TOKEN_PATH"))
    try:
        readable = file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
    except OSError:
        return ""
    return f"others may read the token: chmod 600 {file}" if readable else ""


def _store_failure(uri: str) -> str | None:
    database = uris.database_file(uri)
    if database is not None:
        return _database_failure(database)
    if uris.is_server(uri):
        return _server_failure(uri)
    parts = urlsplit(uri)
    if parts.hostname and parts.port:
        return _refusal(parts.hostname, parts.port)
    return None


def _database_failure(database: Path) -> str | None:
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("select count(*) from runs").fetchone()
    except sqlite3.Error as exc:
        return str(exc)
    return None


def _server_failure(uri: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S):
            return None
    except urllib.error.HTTPError as exc:
        return f"/health says {exc.code} {exc.reason}"
    except (urllib.error.URLError, OSError, ValueError) as exc:
        return str(getattr(exc, "reason", exc))
