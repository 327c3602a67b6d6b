"""Made streets as tiny panoramas of a finished stage, and settings of a tiny training."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.training.settings import TrainSettings
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.learning.settings import LossSettings, ModelSettings, SampleSettings
from gimbal_multicar.learning.task import CoopPlan, CoopTask
from gimbal_multicar.stages.panoramas import panoramas_stage

TINY = ModelSettings(
    encoder_dim=16, encoder_layers=1, encoder_heads=2, dim=16, layers=2, heads=2, taps=(0, 1),
    dense_dim=4, geometric_dims=(4, 4, 4), pose_hidden=16,
)  # fmt: skip
DATA = DataSettings(
    panorama=PanoramaSettings(width=56, height=14, vfov_deg=60.0),
    synthetic=SyntheticSettings(scenarios=4, agents=4, frames=1),
)
SAMPLES = SampleSettings(max_cars=4, max_distance_m=25.0)
TRAIN = TrainSettings(steps=3, global_batch=4, lr=1e-3)


@functools.cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is deleted when the process ends."""
    return tempfile.TemporaryDirectory(prefix="coop-rows-")


@functools.cache
def panoramas() -> Path:
    """Return a finished stage: two scenarios to train on, one to validate, one to test."""
    folder = Path(_kept().name)
    write_stage(panoramas_stage(DATA, seed=0), {}, folder, execute=run_here)
    return folder


def plan(**changes: Any) -> CoopPlan:
    """Return the plan of a tiny training."""
    given = {"samples": SAMPLES, "model": TINY, "loss": LossSettings(preset="pose_first"),
             "train": TRAIN, "seed": 0}  # fmt: skip
    return CoopPlan(**(given | changes))


def task(**changes: Any) -> CoopTask:
    """Return a task on the tiny panoramas."""
    from gimbal_multicar.learning.sources import open_source

    made = plan(**changes)
    folders = {"panoramas": panoramas()}
    return CoopTask(
        made, lambda split: open_source(folders, split, made.samples, training=split == "train")
    )
