"""A moment of a run with the answer of the model that the run trained.

Moments are counted as validation counts its samples, so that number K is the same cars in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gimbal_multicar.clouds.gathering import gather_stage
from gimbal_multicar.clouds.moment import Car, Gathered, Origin, Prediction
from gimbal_multicar.clouds.predicted import boxes_of, with_prediction
from gimbal_multicar.inferring.trained import (
    Trained,
    answer_about,
    constant_poses,
    open_trained,
    trained_config,
)
from gimbal_multicar.learning.samples import CoopSource, rule_of
from gimbal_multicar.previewing.looking import multicar_run, panoramas_folder, run_record
from gimbal_multicar.row_reading import rig_of

if TYPE_CHECKING:
    from gimbal_multicar.config import MulticarConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Which moment, and what is to be shown of it.

    Attributes:
        index: Number of the moment in its split.
        split: Such as `test`; none: the one the run is judged on.
        max_distance_m: Farther cars stay out; none: as in training.
        checkpoint: `best`, `last`, or a step.
        pose: Whose poses the cars stand at.
        geometry: Whose ranges and masks the points are made of.
    """

    index: int
    split: str | None = None
    max_distance_m: float | None = None
    checkpoint: str = "best"
    pose: Origin = "pred"
    geometry: Origin = "pred"


def gather_answered(reference: str, runs_dir: Path, asked: Asked) -> Gathered:
    """Read one moment of a run, and ask the run's model about it.

    Args:
        reference: See `gimbal.experiment.run_finding.find`; `latest` is the newest multi-car run.
        runs_dir: The folder of all runs.
        asked: Which moment, and what is shown.

    Raises:
        ConfigError: There is no such run, moment or checkpoint, or nothing is trained in it.
        StorageError: Its files are damaged.
    """
    run = multicar_run(reference, runs_dir)
    config = _config(trained_config(run), asked)
    folder, split = panoramas_folder(run), asked.split or config.evaluate.split
    rule = rule_of(config.samples, training=False)
    gathered = gather_stage(folder, (split, asked.index), rule, run_record(run))
    trained = open_trained(run, asked.checkpoint)
    source = CoopSource(folder, split, config.samples, training=False)
    prediction = prediction_about(trained, source, gathered, folder)
    return with_prediction(gathered, prediction, pose=asked.pose, geometry=asked.geometry)


def _config(config: MulticarConfig, asked: Asked) -> MulticarConfig:
    if asked.max_distance_m is None:
        return config
    samples = config.samples.model_copy(update={"max_distance_m": asked.max_distance_m})
    return config.model_copy(update={"samples": samples})


def prediction_about(
    trained: Trained, source: CoopSource, gathered: Gathered, panoramas: Path | None
) -> Prediction:
    """Ask a model about a moment.

    Args:
        trained: The model.
        source: Samples among which the moment is, by its index.
        gathered: The moment, at true poses.
        panoramas: The run's own rows, for the best constant pose of its training split; none:
            there is nothing to compare with.
    """
    poses = np.stack([car.true_main_from_car for car in gathered.cars])
    constant = None if panoramas is None else constant_poses(panoramas, trained.config, poses)
    boxes = [boxes_of(car) for car in gathered.cars]
    return Prediction(
        sample=answer_about(trained, source, gathered.index, boxes),
        checkpoint=trained.record,
        mean_pose=constant,
        expected_coverage=float(np.mean([_promised(car) for car in gathered.cars])),
    )


def _promised(car: Car) -> float:
    from gimbal_vision.panoramas.coverage import expected_coverage

    return float(expected_coverage(rig_of(car.row), car.camera))
