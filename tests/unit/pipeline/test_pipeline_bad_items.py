"""A stricter limit on bad items holds for rows that an earlier run made and allowed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.errors import StageFailed
from gimbal.experiment.files import read_json
from gimbal.pipeline import runner
from gimbal.pipeline.runner import RunOptions, run_experiment

SOURCE = """
from gimbal.data import BadItem, BlockSchema, Column, DataStage
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.workload import Workload


class Config(ExperimentSettings):
    share: float = 0.5


class Twelve(DataStage):
    @property
    def schema(self):
        return BlockSchema.of(Column("n", "int64"))

    def items(self, inputs):
        return [{"id": f"item-{i}", "n": i} for i in range(12)]

    def rows(self, item, inputs):
        if item["n"] == 7:
            raise BadItem("item-7 is broken", "mend it")
        yield {"n": item["n"]}


class Counting(Workload):
    name = "counting"
    config = Config

    def stages(self, config):
        return [Twelve(name="twelve", settings=Settings(), max_bad_share=config.share)]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], dict[str, Any]]:
    """Runs the workload in this process with a share; returns its state."""
    (tmp_path / "counting_workload.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "counting_workload", raising=False)
    module = importlib.import_module("counting_workload")

    class Here:
        def __init__(self, **_: Any) -> None: ...

        def follow(self, *_: Any) -> None: ...

        def run(self, stage: Any, inputs: Any, out_dir: Path) -> dict[str, Any]:
            return dict(write_stage(stage, inputs, out_dir, execute=run_here))

    monkeypatch.setattr(runner, "Execution", Here)

    def once(share: float) -> dict[str, Any]:
        settings = module.Config(
            workload="counting",
            experiment="e",
            share=share,
            platform={"runs_dir": tmp_path / "runs", "tracking": {"enabled": False}},
        )
        run_experiment(module.Counting(), settings, RunOptions(command=("gimbal", "run")))
        return newest(tmp_path)

    return once


def newest(tmp_path: Path) -> dict[str, Any]:
    files = (tmp_path / "runs" / "e").glob("2*/run.json")
    state: dict[str, Any] = read_json(max(files, key=lambda file: file.stat().st_mtime_ns))
    return state


def blocks(tmp_path: Path) -> dict[Path, bytes]:
    files = (tmp_path / "runs" / ".stages").rglob("*.arrow")
    return {path: path.read_bytes() for path in files}


def test_a_stricter_share_is_held_against_finished_rows(
    run: Callable[[float], dict[str, Any]], tmp_path: Path
) -> None:
    assert run(0.5)["stages"]["twelve"]["status"] == "finished"
    kept = blocks(tmp_path)
    with pytest.raises(StageFailed) as fresh:
        write_here(tmp_path)
    with pytest.raises(StageFailed, match="1 of 12 items are bad, more than the 0% allowed") as old:
        run(0.0)
    assert (old.value.message, old.value.remedy) == (fresh.value.message, fresh.value.remedy)
    state = newest(tmp_path)
    assert (state["status"], state["stages"]["twelve"]["status"]) == ("failed", "failed")
    assert kept and blocks(tmp_path) == kept, "nothing is deleted"
    assert run(1 / 12)["stages"]["twelve"]["status"] == "skipped"


def write_here(tmp_path: Path) -> None:
    """Make the stage with a share of 0, as a first run would."""
    module = sys.modules["counting_workload"]
    (stage,) = module.Counting().stages(
        module.Config(workload="counting", experiment="e", share=0.0)
    )
    write_stage(stage, {}, tmp_path / "fresh", execute=run_here)
