"""A tiny data set of two cars, and its panoramas as rows, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multicar_opv2v_support import car_frame, depths, write_car

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.experiment.stage import StageOutput
from gimbal_multicar.config import DataSettings, PanoramaSettings
from gimbal_multicar.stages.panoramas import PanoramasStage, panoramas_stage

FRAMES = ("000068", "000070", "000072")
AGENTS = ("1045", "207")
PANORAMA = PanoramaSettings(width=72, height=12)


def write_set(root: Path, *, depth: bool = True) -> Path:
    """Two cars 10 m apart at three moments; car 207 is missing at the last one."""
    for number, agent in enumerate(AGENTS):
        for frame in FRAMES[: 3 - number]:
            car = car_frame(root, agent, frame, x=10.0 * number)
            write_car(car, **({"depths_m": depths(car)} if depth else {}))
    return root


def settings(root: Path, **changes: Any) -> DataSettings:
    given = {
        "root": root,
        "splits": ("train",),
        "panorama": PANORAMA,
        "cache_dir": root.parent / "cache",
    }
    return DataSettings(**(given | changes))


def stage_of(root: Path, **changes: Any) -> PanoramasStage:
    return panoramas_stage(settings(root, **changes), seed=0)


def write_rows(stage: PanoramasStage, out: Path) -> tuple[dict[str, Any], dict[str, StageOutput]]:
    """Return the stage's numbers, and what later stages read."""
    metrics = write_stage(stage, {}, out, execute=run_here)
    output = StageOutput(name="panoramas", path=out, fingerprint="", metrics=metrics)
    return metrics, {"panoramas": output}
