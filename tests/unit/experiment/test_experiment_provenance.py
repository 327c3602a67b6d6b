"""Provenance: complete, quick, without secrets, and never a reason to stop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gimbal.experiment import git_state as git_module
from gimbal.experiment import provenance
from gimbal.experiment.files import atomic_write_json, read_json
from gimbal.experiment.git_state import git_state


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "code.py").write_text("x = 1\n")
    (folder / ".gitignore").write_text("venv/\n")
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    for arguments in (["init", "-q", "-b", "topic"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)
    return folder


def test_it_is_json_and_names_code_packages_and_machine() -> None:
    found = json.loads(json.dumps(provenance.collect(["gimbal", "run", "x.yaml"])))
    assert found["command"] == ["gimbal", "run", "x.yaml"]
    assert found["machine"]["cpus"] >= 1
    assert found["machine"]["memory_bytes"] > 0
    assert isinstance(found["machine"]["gpus"], list)
    assert len(found["code"]["digest"]) == 64
    assert found["packages"]["pydantic"]["path"].endswith("pydantic")
    assert found["packages"]["pytest"]["version"] == pytest.__version__


def test_a_clean_and_a_dirty_repository(repository: Path) -> None:
    clean = git_state(repository / "code.py")
    assert (clean["dirty"], clean["diff"], clean["branch"]) == (False, "", "topic")
    assert len(clean["commit"]) == 40
    (repository / "code.py").write_text("x = 2\n")
    (repository / "new file.py").write_text("")
    dirty = git_state(repository / "code.py")
    assert dirty["dirty"]
    assert "+x = 2" in dirty["diff"]
    assert dirty["untracked"] == ["new file.py"]
    assert dirty["commit"] == clean["commit"]


def test_a_long_diff_is_cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "MAX_DIFF_BYTES", 100)
    (repository / "code.py").write_text("x = 2\n" * 100)
    state = git_state(repository / "code.py")
    assert state["diff_cut"]
    assert len(state["diff"]) == 100


def test_a_repository_around_an_installed_package_is_not_its_own(repository: Path) -> None:
    (repository / "venv").mkdir()
    (repository / "venv" / "installed.py").write_text("")
    assert "unavailable" in git_state(repository / "venv" / "installed.py")


def test_no_repository_no_commit_and_no_git_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "code.py").write_text("")
    assert "not a git repository" in git_state(tmp_path / "code.py")["unavailable"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert "unavailable" in git_state(tmp_path / "code.py")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path / "code.py") == {"unavailable": "git is not installed"}
    assert provenance.collect(["x"])["code"]["repositories"]


def test_no_secret_is_recorded() -> None:
    kept = provenance.environment(
        {
            "RAY_ADDRESS": "ray://user:word@head:10001",
            "RAY_AUTH_TOKEN": "hush",
            "RAY_REDIS_PASSWORD": "hush",
            "RAY_JOB_CONFIG_JSON_ENV_VAR": '{"env_vars": {"TOKEN": "hush"}}',
            "MLFLOW_TRACKING_URI": "https://me:hush@mlflow.example.org/x",
            "MLFLOW_TRACKING_PASSWORD": "hush",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "HOME": "/home/me",
            "CUDA_VISIBLE_DEVICES": "0,1",
        }
    )
    assert kept == {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "MLFLOW_TRACKING_URI": "https://mlflow.example.org/x",
        "RAY_ADDRESS": "ray://head:10001",
    }
    command = ["gimbal", "platform.tracking.uri=http://a:hush@b/c"]
    assert "hush" not in json.dumps(provenance.collect(command)["command"])


def test_packages_are_those_that_were_imported() -> None:
    script = (
        "import json, yaml; from gimbal.experiment.provenance import packages_that_ran as p;"
        "print(json.dumps(p()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert {"PyYAML", "gimbal", "pydantic"} <= set(found)
    assert "torch" not in found


def test_workers_note_their_packages_and_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    provenance.note_packages(tmp_path)
    noted = json.loads((tmp_path / provenance.PACKAGES_FILE).read_text())
    assert noted["packages"]["pydantic"]["path"].endswith("pydantic")
    assert noted["packages"]["pytest"]["version"] == pytest.__version__
    provenance.note_packages(tmp_path / "not there")


def test_shipped_code_is_told_by_whoever_shipped_it_and_only_if_it_is_that_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial's worker has a copy without a repository; its provenance still names the commit."""
    origin = tmp_path / "code.json"
    provenance.leave_origin(origin, ("gimbal",))
    told = {**read_json(origin), "repositories": [{"commit": "c0ffee"}]}
    atomic_write_json(origin, told)
    monkeypatch.setenv(provenance.ORIGIN_VARIABLE, str(origin))
    assert provenance.code(("gimbal",))["repositories"] == [{"commit": "c0ffee"}]
    assert provenance.code(("gimbal",))["shipped_to"]["gimbal"]

    atomic_write_json(origin, {**told, "digest": "of other code"})
    assert "shipped_to" not in provenance.code(("gimbal",))
    origin.write_text("{")
    assert "shipped_to" not in provenance.code(("gimbal",))
