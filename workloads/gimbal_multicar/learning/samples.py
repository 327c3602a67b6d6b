"""Samples of a finished stage `panoramas` as training and validation read them.

Rows are memory-mapped and gathered once a piece; a piece is padded to its own most cars, so pairs
cost what pairs cost. All panoramas of a run share one camera, whose rays are made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        self.moments: tuple[CoopMoment, ...] = self.usable(found.moments)
        if not self.moments:
            raise ConfigError(
                f"the split '{split}' of {stage_dir} has no moment at which {rule.min_cars} cars "
                f"are within {rule.max_distance_m:g} m",
                "lower samples.min_cars, raise samples.max_distance_m, or make more cars "
                "(data.synthetic.agents)",
            )
        self._shared = self.geometry()

    def usable(self, moments: tuple[CoopMoment, ...]) -> tuple[CoopMoment, ...]:
        """Return the moments that can be a sample."""
        return moments

    def geometry(self) -> dict[str, Array]:
        """Return `rays` and `solid_angle` of what all views share."""
        camera = camera_of(self._reader[self.moments[0].rows[0]])
        return {
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
        cars = self.layout(indices)
        columns = self._reader.fetch(cars.rows, COLUMNS)
        present = cars.present
        return {
            "rgb": padded(columns["rgb"], present),
            "range_m": padded(np.where(columns["valid"], columns["range_m"], 0.0), present),
            **{name: padded(columns[name], present) for name in MASKS},
            "camera_pose": padded(cars.poses(columns), present, np.eye(4)).astype(np.float32),
            "present": present,
            "full": bool(present.all()),
            "car": np.broadcast_to(np.arange(present.shape[1]), present.shape).copy(),
            "synthetic": cars.synthetic(columns),
            "rows": padded(cars.rows, present, -1),
            **self._shared,
        }

    def layout(self, indices: Array) -> Layout:
        """Return which rows samples are made of, and how they are padded."""
        moments = [self.moments[int(index)] for index in indices]
        lengths = np.array([moment.num_views for moment in moments], np.int64)
        rows = np.concatenate([moment.rows for moment in moments]).astype(np.int64)
        return Layout(rows=rows, lengths=lengths)


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """The cars of a piece of samples.

    Attributes:
        rows: [K] their rows, sample by sample.
        lengths: [B] cars of each sample.
    """

    rows: Array
    lengths: Array

    @property
    def present(self) -> Array:
        """[B, N] bool: which places are taken."""
        taken: Array = np.arange(self.lengths.max()) < self.lengths[:, None]
        return taken

    @property
    def firsts(self) -> Array:
        """[B] where each sample's main car is among the rows."""
        before: Array = np.cumsum(self.lengths) - self.lengths
        return before

    def poses(self, columns: Mapping[str, Any]) -> Array:
        """Return [K, 4, 4] poses in each sample's main car's frame; its own is the identity."""
        poses = np.asarray(columns["world_from_car"], np.float64)
        mains = np.repeat(poses[self.firsts], self.lengths, axis=0)
        relative: Array = np.asarray(relative_pose(mains, poses))
        relative[self.firsts] = np.eye(4)
        return relative

    def synthetic(self, columns: Mapping[str, Any]) -> Array:
        """Return [B] bool, whether samples are made."""
        return np.array([columns["source"][first] == "synthetic" for first in self.firsts])


def name_of(moment: CoopMoment) -> str:
    """Return split/scenario/frame/main car."""
    return f"{moment.split}/{moment.scenario}/{moment.frame}/{moment.agents[0]}"


def cars_a_step(cars: Sequence[int], settings: SampleSettings, batch: int) -> str:
    """Return how many cars a sample and a step of training show, in words.

    Args:
        cars: Cars of each sample.
        settings: How many of them are shown, and what a view is.
        batch: Samples of a step.
    """
    counts = np.asarray(cars)[:, None]
    if settings.num_cars is not None:
        counts = np.minimum(counts, np.asarray(settings.num_cars))
    pictures = "" if settings.views == "panoramas" else " cars, of up to 4 pictures each,"
    return (
        f"{counts.min()} to {counts.max()} cars a sample, about "
        f"{counts.mean() * batch:.3g}{pictures} a step"
    )


def padded(values: Any, present: Array, fill: Any = 0) -> Array:
    """Return [K, ...] values spread over [B, N, ...], where `present`, and `fill` elsewhere."""
    values = np.asarray(values)
    if present.all():
        whole: Array = values.reshape(*present.shape, *values.shape[1:])
        return whole
    spread = np.empty((*present.shape, *values.shape[1:]), values.dtype)
    spread[present] = values
    spread[~present] = fill
    return spread
