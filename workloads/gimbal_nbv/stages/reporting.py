"""Stage `report`: one self-contained page with everything the run found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.files import read_json
from gimbal.experiment.run_description import describe_run
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal.training.metrics import read_metrics
from gimbal_nbv.stages.evaluating import EVALUATION_FILE


@dataclass(frozen=True, kw_only=True)
class ReportStage(TaskStage):
    """Writes `report.html`."""

    inputs: tuple[str, ...] = ("train", "evaluate")
    always: bool = True

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Assemble the page from the evaluation, the training curves and the run's record."""
        from gimbal_nbv.report import write_report

        evaluation = read_json(inputs["evaluate"].path / EVALUATION_FILE)
        run = describe_run(RunFolder(out_dir.parent.parent))
        training = training_curves(inputs["train"].path)
        path = write_report(evaluation, run, training, out_dir / "report.html")
        return {"size_bytes": path.stat().st_size}


def training_curves(train_dir: Path) -> dict[str, Any] | None:
    """Return the logged series of a training stage and its gradient report."""
    path = train_dir / "metrics.jsonl"
    if not path.exists():
        return None
    records = list(read_metrics(path))
    steps = sorted({int(record["step"]) for record in records})
    place = {step: index for index, step in enumerate(steps)}
    values: dict[str, list[float | None]] = {}
    for record in records:
        for name, value in record["values"].items():
            values.setdefault(name, [None] * len(steps))[place[int(record["step"])]] = value
    gradient = train_dir / "gradient_report.json"
    return {
        "steps": steps,
        "values": values,
        "gradient": _latest(read_json(gradient)) if gradient.exists() else None,
    }


def _latest(report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    entries = report["entries"]
    return entries[-1]["modules"] if entries else None
