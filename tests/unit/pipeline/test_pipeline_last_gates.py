"""Gates of a stage that always runs: its page is kept, and then the run ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import GateFailed
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import Gate, GateResult, Progress, Stage, StageInputs, TaskStage
from gimbal.experiment.workload import Workload
from gimbal.pipeline.events import SilentObserver
from gimbal.pipeline.runner import run_experiment

LOW = Gate(name="low", metric="found.value", op="<=", threshold=1.0, hint="turn it down")
HIGH = Gate(name="high", metric="found.value", op=">=", threshold=0.0, hint="turn it up")


@dataclass(frozen=True, kw_only=True)
class Page(TaskStage):
    settings: Settings = field(default_factory=Settings)
    always: bool = True
    value: float = 0.0

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        (out_dir / "report.html").write_text("a page")
        return {"found": {"value": self.value}}


class Pages(Workload[ExperimentSettings]):
    name, config = "pages", ExperimentSettings

    def __init__(self, value: float) -> None:
        self.value = value

    def stages(self, config: ExperimentSettings) -> Sequence[Stage]:
        return [Page(name="report", value=self.value, gates=(HIGH, LOW))]


class Listening(SilentObserver):
    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def gate_checked(self, stage: str, result: GateResult) -> None:
        self.told.append((result.name, result.passed))


@pytest.fixture
def settings(tmp_path: Path) -> ExperimentSettings:
    platform = {"runs_dir": tmp_path / "runs", "tracking": {"enabled": False}}
    return ExperimentSettings(workload="pages", experiment="e", platform=platform)


def test_a_page_is_kept_before_its_gate_ends_the_run(settings: ExperimentSettings) -> None:
    listening = Listening()
    with pytest.raises(GateFailed, match=r"report/low: found\.value = 2"):
        run_experiment(Pages(2.0), settings, observer=listening)
    assert listening.told == [("high", True), ("low", False)]
    (run,) = (settings.platform.runs_dir / "e").iterdir()
    assert (run / "report.html").read_text() == "a page"
    assert f'"{RunStatus.FAILED}"' in (run / "run.json").read_text()


def test_a_page_whose_gates_pass_ends_well(settings: ExperimentSettings) -> None:
    listening = Listening()
    result = run_experiment(Pages(0.5), settings, observer=listening)
    assert [passed for _, passed in listening.told] == [True, True]
    assert result.metrics["report"] == {"found": {"value": 0.5}}
