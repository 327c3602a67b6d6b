"""The run and the page must look at the same store, and no password may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.settings import TrackingSettings
from gimbal.tracking import uris


def resolve(uri: str | None, environment: dict[str, str], runs: Path = Path("/r")) -> str:
    return uris.resolve_uri(TrackingSettings(uri=uri), runs, environment)


def test_settings_win_over_the_environment_over_the_runs_folder() -> None:
    environment = {"MLFLOW_TRACKING_URI": "http://host:5000"}
    assert resolve("https://mine", environment) == "https://mine"
    assert resolve(None, environment) == "http://host:5000"
    assert resolve(None, {}) == "sqlite:////r/mlflow.db"


def test_a_relative_database_is_taken_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve("sqlite:///my.db", {}) == f"sqlite:///{tmp_path}/my.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_plain_folder_is_refused_with_what_to_write(uri: str) -> None:
    with pytest.raises(ConfigError, match="no longer keeps runs in one") as caught:
        resolve(None, {"MLFLOW_TRACKING_URI": uri})
    assert "sqlite:///" in caught.value.remedy
    allowed = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_FILE_STORE": "true"}
    assert resolve(None, allowed) == uri


def test_artifacts_lie_beside_the_database() -> None:
    assert uris.artifact_folder("sqlite:////r/mlflow.db") == Path("/r/mlartifacts")
    assert uris.artifact_folder("http://host") is None


def test_passwords_are_not_shown() -> None:
    shown = uris.redacted("postgresql://ann:secret@db:5432/mlflow")
    assert shown == "postgresql://ann:…@db:5432/mlflow"
    assert uris.redacted("http://host:5000") == "http://host:5000"
