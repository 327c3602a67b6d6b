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
from gimbal_nbv.stages.diagnosing import DIAGNOSIS_FILE
from gimbal_nbv.stages.evaluating import EVALUATION_FILE
from gimbal_nbv.stages.sensitivity import SENSITIVITY_FILE


@dataclass(frozen=True, kw_only=True)
class ReportStage(TaskStage):
    """Writes `report.html`."""

    inputs: tuple[str, ...] = ("train", "evaluate")
    always: bool = True

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Assemble the page from the evaluation, the training curves and the run's record."""
        from gimbal_nbv.report import write_report

        evaluation = read_json(inputs["evaluate"].path / EVALUATION_FILE) | _multiview(inputs)
        run = describe_run(RunFolder(out_dir.parent.parent))
        training = training_curves(inputs["train"].path)
        path = write_report(evaluation, run, training, out_dir / "report.html")
        return {"size_bytes": path.stat().st_size}


def _multiview(inputs: StageInputs) -> dict[str, Any]:
    """Return what was found out about the multi-view model, if the run has one."""
    if "oracle_test" not in inputs:
        return {}
    gate = read_json(inputs["sensitivity"].path / SENSITIVITY_FILE)
    test = read_json(inputs["oracle_test"].path / DIAGNOSIS_FILE)
    return {"multiview": {"oracle_test": test, "sensitivity": gate.get("multiview")}}


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
