"""Stage `report`: one self-contained page with what a run learnt and what it is worth.

The checks of what was watched and judged are asked here, when the page is written: a run that fails
one is the run whose page is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from gimbal.experiment.files import atomic_write_bytes
from gimbal.experiment.run_description import describe_run
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage, lookup

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

        checked = checked_numbers(self.gates, inputs)
        run = describe_run(RunFolder(out_dir.parent.parent))
        results = [gate.check(checked) for gate in self.gates]
        asked = [
            {"stage": REPORT, "name": one.name, "passed": one.passed, "message": one.message}
            for one in results
        ]
        told = read_told(inputs, {**run, "gates": [*run["gates"], *asked]})
        path = atomic_write_bytes(out_dir / "report.html", render(told).encode())
        return {"size_bytes": path.stat().st_size, **checked}


def report_stage(
    inputs: tuple[str, ...], gates: Mapping[str, Sequence[Gate]] | None = None
) -> ReportStage:
    """Return the stage.

    Args:
        inputs: The stages that the run has, all of which the page tells of.
        gates: By the stage whose numbers they are about.
    """
    asked = tuple(
        replace(gate, metric=f"{stage}.{gate.metric}")
        for stage, about in (gates or {}).items()
        for gate in about
    )
    return ReportStage(name=REPORT, settings=ReportSettings(), inputs=inputs, gates=asked)


def checked_numbers(gates: Sequence[Gate], inputs: StageInputs) -> dict[str, Any]:
    """Return the numbers that gates ask for, nested as their stages reported them."""
    reported = {name: output.metrics for name, output in inputs.items()}
    found: dict[str, Any] = {}
    for gate in gates:
        value = lookup(reported, gate.metric)
        if value is None:
            continue
        *path, last = gate.metric.split(".")
        node = found
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return found
