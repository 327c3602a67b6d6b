"""Stage `report`: one self-contained page with what a run made, learnt and is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.files import atomic_write_bytes, read_json
from gimbal.experiment.run_description import describe_run
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_multicar.stages.surveying import SURVEY_FILE


@dataclass(frozen=True, kw_only=True)
class ReportStage(TaskStage):
    """Writes `report.html`; with inputs `train` and `evaluate` it tells of them too."""

    inputs: tuple[str, ...] = ("panoramas", "survey")
    always: bool = True

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Assemble the page from the rows, the survey, the training and the run's record."""
        from gimbal.data.reading import BlockReader
        from gimbal_multicar.report.learnt import open_learnt
        from gimbal_multicar.report.page import render

        rows = BlockReader(inputs["panoramas"].path)
        survey = read_json(inputs["survey"].path / SURVEY_FILE)
        learnt = None
        if "evaluate" in inputs:
            learnt = open_learnt(inputs["train"].path, inputs["evaluate"].path, rows)
        page = render(rows, survey, describe_run(RunFolder(out_dir.parent.parent)), learnt)
        path = atomic_write_bytes(out_dir / "report.html", page.encode())
        return {"size_bytes": path.stat().st_size}
