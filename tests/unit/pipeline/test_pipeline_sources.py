"""A run is made of the sources it began with, also when they are edited while it goes on."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from gimbal.experiment.files import read_json
from gimbal.pipeline import runner
from gimbal.pipeline.runner import run_experiment

SOURCE = """
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload


class Step(TaskStage):
    def run(self, inputs, out_dir, progress):
        return {"number": 1}


class Edited(Workload):
    name, config = "edited", ExperimentSettings

    def stages(self, config):
        return [
            Step(name="first", settings=Settings()),
            Step(name="second", settings=Settings(), inputs=("first",)),
        ]
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workload's only file, importable."""
    file = tmp_path / "edited_workload.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "edited_workload", raising=False)
    return file


def test_an_edit_during_a_run_is_not_taken_for_what_ran(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stage takes so long that somebody edits the code; the second runs the old one."""
    module = importlib.import_module("edited_workload")

    class Here:
        def __init__(self, **_: Any) -> None: ...

        def follow(self, *_: Any) -> None: ...

        def run(self, stage: Any, inputs: Any, out_dir: Path) -> dict[str, Any]:
            source.write_text(SOURCE.replace('"number": 1', '"number": 2'))
            return dict(stage.run(inputs, out_dir, print))

    monkeypatch.setattr(runner, "Execution", Here)
    settings = module.Edited.config(
        workload="edited",
        experiment="e",
        platform={"runs_dir": tmp_path / "runs", "tracking": {"enabled": False}},
    )
    began_with = run_experiment(module.Edited(), settings)
    records = [
        read_json(Path(began_with.stages[name]["path"]) / "stage.json")["parts"]["code"]
        for name in ("first", "second")
    ]
    assert records[0] == records[1]

    after = run_experiment(module.Edited(), settings)
    assert [after.stages[name]["status"] for name in ("first", "second")] == ["finished"] * 2
