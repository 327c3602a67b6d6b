"""Which MLflow a run goes to: the settings, else `MLFLOW_TRACKING_URI`, else the runs folder.

The run and `gimbal ui` ask here, so they can never look at different stores.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from gimbal.errors import ConfigError
from gimbal.experiment.settings import TrackingSettings

ENVIRONMENT_VARIABLE = "MLFLOW_TRACKING_URI"
_DATABASE = "mlflow.db"
_ARTIFACTS = "mlartifacts"
_SQLITE = "sqlite:///"


def resolve_uri(
    settings: TrackingSettings, runs_dir: Path, environment: Mapping[str, str] = os.environ
) -> str:
    """Return the MLflow store of a runs folder.

    Raises:
        ConfigError: The URI names a plain folder, which MLflow no longer writes to.
    """
    if settings.uri:
        return _checked(settings.uri, "platform.tracking.uri", environment)
    if from_environment := environment.get(ENVIRONMENT_VARIABLE):
        return _checked(from_environment, ENVIRONMENT_VARIABLE, environment)
    return embedded_uri(runs_dir)


def embedded_uri(runs_dir: Path) -> str:
    """Return the SQLite store inside a runs folder."""
    return f"{_SQLITE}{runs_dir.resolve() / _DATABASE}"


def artifact_folder(uri: str) -> Path | None:
    """Return where a SQLite store keeps artifacts; None: its server decides."""
    database = database_file(uri)
    return database.parent / _ARTIFACTS if database else None


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, or None for any other."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def is_server(uri: str) -> bool:
    """Tell whether the store is an MLflow server."""
    return urlsplit(uri).scheme in ("http", "https")


def redacted(uri: str) -> str:
    """Return the URI without a password, to print."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:…@{host}"))


def _checked(uri: str, origin: str, environment: Mapping[str, str]) -> str:
    if (database := database_file(uri)) is not None:
        return f"{_SQLITE}{database.absolute()}"
    folders_allowed = environment.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1")
    if urlsplit(uri).scheme in ("", "file") and not folders_allowed:
        raise ConfigError(
            f"{origin} is {uri!r}, a plain folder, and MLflow no longer keeps runs in one",
            f"write sqlite:///{uri.removeprefix('file://')}/mlflow.db, the address of an MLflow "
            "server (http://…), or nothing for the runs folder's own store",
        )
    return uri
