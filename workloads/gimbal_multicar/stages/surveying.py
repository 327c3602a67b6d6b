"""Stage `survey`: what the panoramas hold, and whether they are what the calibration promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal_multicar.data_settings import LoaderSettings

SURVEY_FILE = "survey.json"

COVERAGE_GATE = Gate(
    name="coverage",
    metric="coverage_error",
    op="<=",
    threshold=0.01,
    hint="some panorama does not cover what its own calibration says. Known signatures at "
    "1008 x 252 and 90 degrees: .858 whole images, .332 the source's crop (data.legacy_crop; its "
    "notes say .331), .25 to .28 a single camera; `gimbal multicar check` names the frames and "
    "the cause",
)


@dataclass(frozen=True, kw_only=True)
class SurveyStage(TaskStage):
    """Writes `survey.json` and the table that ends a run.

    Attributes:
        view_selection_margin: See `PanoramaSettings`.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "pyarrow")

    settings: LoaderSettings
    view_selection_margin: float = 0.05
    inputs: tuple[str, ...] = ("panoramas",)
    gates: tuple[Gate, ...] = (COVERAGE_GATE,)

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Measure every split."""
        from gimbal.data.reading import BlockReader
        from gimbal_multicar.survey.numbers import split_numbers
        from gimbal_multicar.survey.rays import ray_numbers

        rows = BlockReader(inputs["panoramas"].path)
        names = np.asarray(rows.column("split"), dtype=str)
        splits = list(dict.fromkeys(names.tolist()))
        found = {}
        for done, split in enumerate(splits):
            progress(done, len(splits), split)
            wanted = np.flatnonzero(names == split).tolist()
            found[split] = split_numbers(
                rows,
                wanted,
                partner_m=self.settings.max_distance_m,
                min_cos=self.view_selection_margin,
            )
        survey = {
            "splits": found,
            "rays": ray_numbers(rows[0]),
            "skipped": len(rows.manifest.skipped),
            "partner_m": self.settings.max_distance_m,
        }
        atomic_write_json(out_dir / SURVEY_FILE, survey)
        atomic_write_json(out_dir / "summary.json", summary_table(survey))
        return metrics_of(survey)


def metrics_of(survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a survey without its histograms; means weigh splits by their rows."""
    splits = survey["splits"]
    counts = [one["rows"] for one in splits.values()]
    overall = {
        name: float(np.average([one[name] for one in splits.values()], weights=counts))
        for name in ("coverage", "expected_coverage", "non_ambiguous", "valid", "depth_density")
    }
    return {
        "rows": sum(counts),
        "skipped": survey["skipped"],
        **overall,
        "coverage_error": max(one["coverage_error"] for one in splits.values()),
        "splits": {
            name: {key: value for key, value in one.items() if key != "histograms"}
            for name, one in splits.items()
        },
    }


def summary_table(survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return title, columns and rows of the table that the command line prints."""
    skipped = f", {survey['skipped']} car-frames skipped" if survey["skipped"] else ""
    return {
        "title": f"{sum(one['rows'] for one in survey['splits'].values())} panoramas{skipped}",
        "columns": [
            "split",
            "rows",
            "cars",
            "coverage",
            "expected",
            "no sky",
            "range known",
            "median range",
            "cars apart",
            "moved",
        ],
        "rows": [
            [
                name,
                one["rows"],
                one["cars"],
                f"{one['coverage']:.3f}",
                f"{one['expected_coverage']:.3f}",
                f"{one['non_ambiguous']:.3f}",
                f"{one['valid']:.3f}",
                _metres(one["range_m"].get("p50")),
                _metres(one["distance_m"]["p50"]),
                f"{one['moved_share']:.1%}",
            ]
            for name, one in survey["splits"].items()
        ],
        "caption": "expected: from calibration alone; shares are of all pixels; cars apart: "
        "median distance of two cars of one moment; moved: colours moved > 4 px by depth",
    }


def _metres(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} m"
