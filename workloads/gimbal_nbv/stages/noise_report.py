"""Stage `noise_report`: what stage `noise` found, as `diagnosis.json` and a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nbv.stages.diagnosing import DIAGNOSIS_FILE
from gimbal_nbv.stages.reading import open_rows

PAGE_FILE = "noise.html"


class NoiseReportSettings(Settings):
    """How levels are compared."""

    bootstrap: int
    """Resamples of the paired bootstrap over objects."""


@dataclass(frozen=True, kw_only=True)
class NoiseReportStage(TaskStage):
    """Sums up every level and writes `diagnosis.json` and `noise.html`.

    Attributes:
        about: What the page says it examined.
        drift: How what is here differs from what made the run.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "plotly")
    bookkeeping: ClassVar[frozenset[str]] = TaskStage.bookkeeping | {"about"}

    settings: NoiseReportSettings
    inputs: tuple[str, ...] = ("noise",)
    about: str = ""
    drift: tuple[str, ...] = ()

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Return the leads at every level."""
        from gimbal_nbv.diagnostics.page import render_diagnosis
        from gimbal_nbv.diagnostics.record import record_of
        from gimbal_nbv.noise.page import diagnosis_of
        from gimbal_nbv.noise.summary import read_levels, summarise

        levels = read_levels(open_rows(inputs, "noise"))
        summary = summarise(levels, draws=self.settings.bootstrap, seed=self.seed)
        diagnosis = diagnosis_of(summary)
        record = record_of(diagnosis) | {"drift": list(self.drift)}
        atomic_write_json(out_dir / DIAGNOSIS_FILE, record)
        page = render_diagnosis(diagnosis, about=self.about, drift=self.drift)
        atomic_write_bytes(out_dir / PAGE_FILE, page.encode())
        progress(1, 1, "page")
        return {
            "verdict": record["verdict"],
            "over_farthest": {one.label: one.over_farthest.value for one in summary.levels},
            **({"drift": list(self.drift)} if self.drift else {}),
        }
