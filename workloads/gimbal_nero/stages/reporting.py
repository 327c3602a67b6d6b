"""Stage `report`: one self-contained page with what a run learnt and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.experiment.files import atomic_write_bytes
from gimbal.experiment.run_description import describe_run
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Progress, StageInputs, TaskStage

REPORT = "report"


class ReportSettings(Settings):
    """A page has none: it tells of whatever ran."""


@dataclass(frozen=True, kw_only=True)
class ReportStage(TaskStage):
    """Writes `report.html`; see `report_stage`."""

    libraries: ClassVar[tuple[str, ...]] = ("plotly",)

    always: bool = True

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Assemble the page from the stages' files and the run's record."""
        from gimbal_nero.report.page import render
        from gimbal_nero.report.told import read_told

        told = read_told(inputs, describe_run(RunFolder(out_dir.parent.parent)))
        path = atomic_write_bytes(out_dir / "report.html", render(told).encode())
        return {"size_bytes": path.stat().st_size}


def report_stage(inputs: tuple[str, ...]) -> ReportStage:
    """Return the stage.

    Args:
        inputs: Of `prepare`, `shape`, `watch`, `mesh` and `evaluate` those that the run has.
    """
    return ReportStage(name=REPORT, settings=ReportSettings(), inputs=inputs)
