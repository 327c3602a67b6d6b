"""Samples of a finished stage `panoramas` as training and validation read them.

Rows are memory-mapped and gathered once a piece; a piece is padded to its own most cars, so pairs
cost what pairs cost. All panoramas of a run share one camera, whose rays are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.errors import ConfigError
from gimbal_multicar.cooperation import CoopPanoramas, CoopRule
from gimbal_multicar.cooperation.moments import CoopMoment
from gimbal_multicar.learning.settings import SampleSettings
from gimbal_multicar.row_reading import camera_of
from gimbal_vision.poses import relative_pose

Array = np.ndarray[Any, np.dtype[Any]]
COLUMNS = ("rgb", "range_m", "valid", "non_ambiguous", "world_from_car", "source")
MASKS = ("valid", "non_ambiguous")


def rule_of(settings: SampleSettings, *, training: bool) -> CoopRule:
    """Return which cars make a sample; held-out samples have the first car as the main one."""
    return CoopRule(
        max_distance_m=settings.max_distance_m,
        min_cars=settings.min_cars,
        max_cars=settings.max_cars,
        main=settings.main if training else "first",
    )


class CoopSource:
    """A `gimbal.training.task.Source` of cooperating cars.

    Args:
        stage_dir: Folder of a finished stage `panoramas`.
        split: Such as `train`.
        settings: Which cars make a sample.
        training: Whether every car may be the main one; held out: the first alone.

    Raises:
        StorageError: There is no such stage, or it is damaged.
        ConfigError: The stage has no sample of that split.
    """

    def __init__(
        self, stage_dir: str | Path, split: str, settings: SampleSettings, *, training: bool
    ) -> None:
        rule = rule_of(settings, training=training)
        found = CoopPanoramas(stage_dir, split, rule)
        self._reader = found.reader
        self.moments: tuple[CoopMoment, ...] = found.moments
        if not self.moments:
            raise ConfigError(
                f"the split '{split}' of {stage_dir} has no moment at which {rule.min_cars} cars "
                f"are within {rule.max_distance_m:g} m",
                "lower samples.min_cars, raise samples.max_distance_m, or make more cars "
                "(data.synthetic.agents)",
            )
        camera = camera_of(self._reader[self.moments[0].rows[0]])
        self._shared = {
            "rays": camera.rays().astype(np.float32),
            "solid_angle": camera.solid_angle().astype(np.float32),
        }

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.moments)

    def names(self, indices: Sequence[int] | Array) -> list[str]:
        """Return split/scenario/frame/main car of samples."""
        return [name_of(self.moments[int(index)]) for index in indices]

    def fetch(self, indices: Array) -> dict[str, Any]:
        """Return a piece of samples; its keys are those of `batch`.

        Args:
            indices: int64 [B].
        """
        moments = [self.moments[int(index)] for index in indices]
        lengths = np.array([moment.num_views for moment in moments], np.int64)
        rows = np.concatenate([moment.rows for moment in moments]).astype(np.int64)
        columns = self._reader.fetch(rows, COLUMNS)
        present = np.arange(lengths.max()) < lengths[:, None]
        firsts = np.cumsum(lengths) - lengths
        synthetic = np.array([columns["source"][first] == "synthetic" for first in firsts])
        poses = _in_main_cars(columns["world_from_car"], firsts, lengths)
        return {
            "rgb": _padded(columns["rgb"], present),
            "range_m": _padded(np.where(columns["valid"], columns["range_m"], 0.0), present),
            **{name: _padded(columns[name], present) for name in MASKS},
            "camera_pose": _padded(poses, present, np.eye(4)).astype(np.float32),
            "present": present,
            "full": bool(present.all()),
            "car": np.broadcast_to(np.arange(lengths.max()), present.shape).copy(),
            "synthetic": synthetic,
            "rows": _padded(rows, present, -1),
            **self._shared,
        }


def name_of(moment: CoopMoment) -> str:
    """Return split/scenario/frame/main car."""
    return f"{moment.split}/{moment.scenario}/{moment.frame}/{moment.agents[0]}"


def _in_main_cars(world_from_car: Any, firsts: Array, lengths: Array) -> Array:
    """Return [K, 4, 4] poses in each sample's first car's frame; its own is exactly identity."""
    poses = np.asarray(world_from_car, np.float64)
    relative: Array = np.asarray(relative_pose(np.repeat(poses[firsts], lengths, axis=0), poses))
    relative[firsts] = np.eye(4)
    return relative


def _padded(values: Any, present: Array, fill: Any = 0) -> Array:
    """Spread [K, ...] values over [B, N, ...], where `present`."""
    values = np.asarray(values)
    if present.all():
        return values.reshape(*present.shape, *values.shape[1:])
    padded = np.empty((*present.shape, *values.shape[1:]), values.dtype)
    padded[present] = values
    padded[~present] = fill
    return padded
