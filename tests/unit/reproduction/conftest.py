"""One finished run for all tests, made from a git repository; each test works on a copy."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from reproduction_study import Lab, edit_json, make_lab

MODULE = "study_workload"


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The repository and one run; never changed."""
    lab = make_lab(tmp_path_factory.mktemp("lab"))
    lab.run()
    return lab


@pytest.fixture
def lab(original: Lab, tmp_path: Path) -> Lab:
    """The same run on a desk of the test's own."""
    desk = tmp_path / "desk"
    shutil.copytree(original.desk, desk, symlinks=True)
    (provenance,) = desk.glob("runs/study/*/provenance.json")
    edit_json(provenance, lambda record: record.update(folder=str(desk)))
    return Lab(original.repository, desk)


@pytest.fixture
def run(lab: Lab) -> Path:
    """The run's folder."""
    (folder,) = (lab.runs / "study").glob("2*")
    return folder


@pytest.fixture
def here(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The workload importable in this process; gives its source, which a test may edit."""
    folder = tmp_path / "workloads"
    folder.mkdir()
    source = shutil.copyfile(lab.module, folder / f"{MODULE}.py")
    from gimbal.pipeline import runner

    monkeypatch.setattr(runner, "Execution", runner.Execution)  # the workload replaces it
    monkeypatch.syspath_prepend(str(lab.desk / "site"))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    importlib.invalidate_caches()
    yield source
    sys.modules.pop(MODULE, None)
