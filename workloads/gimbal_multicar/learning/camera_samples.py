"""Samples whose views are the cars' own pictures: 4n of them, or four fused inside the model.

Both read stage `cameras`, whose rows are the same cars as the panoramas'. A camera without a
picture is no view: with 4n views it is left out and the rest move up, so what is present stays a
prefix; fused, it is masked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gimbal_multicar.cooperation.moments import CoopMoment
from gimbal_multicar.learning.samples import MASKS, Array, CoopSource, padded
from gimbal_multicar.learning.settings import SampleSettings
from gimbal_vision.cameras import Pinhole

FRONT = 0
VIEW_COLUMNS = (
    "rgb", "range_m", "valid", "non_ambiguous", "world_from_car", "source", "present", "K",
    "car_from_camera",
)  # fmt: skip
PICTURE_COLUMNS = ("rgb", "present", "K", "car_from_camera")
KEYS = ("split", "scenario", "frame", "agent_id")

Key = tuple[str, str, str, str]


class CameraSource(CoopSource):
    """Samples of stage `cameras`: every picture is a view, the main car's front one the first.

    A batch has `car_from_view` [B, V, 4, 4] float32 besides the keys of `batch`, by which the poses
    of cars are read back from those of views, and `place` [B, V] int64, which of its car's cameras
    a picture is from. Moments whose main car has no front picture are left
    out. See `CoopSource` for arguments and errors.
    """

    def usable(self, moments: tuple[CoopMoment, ...]) -> tuple[CoopMoment, ...]:
        """Return the moments whose main car has a front picture."""
        present = self._reader.column("present")
        return tuple(m for m in moments if present[m.rows[0], FRONT])

    def geometry(self) -> dict[str, Array]:
        """Return what views share: everything, where all cameras are alike, as OPV2V's are."""
        K = np.asarray(self._reader.column("K"))
        height, width = self._reader.schema["rgb"].fixed_shape[1:3]
        if not np.allclose(K, K[0, 0], rtol=0.0, atol=1e-6):
            return {}
        camera = Pinhole.from_matrix(K[0, 0], height, width)
        return {
            "rays": camera.rays().astype(np.float32),
            "solid_angle": camera.solid_angle().astype(np.float32),
        }

    def fetch(self, indices: Array) -> dict[str, Any]:
        """Return a piece of samples; see `batch`, and above.

        Args:
            indices: int64 [B].
        """
        cars = self.layout(indices)
        columns = self._reader.fetch(cars.rows, VIEW_COLUMNS)
        seen = np.asarray(columns["present"], np.bool_)
        sample = np.repeat(np.arange(len(cars.lengths)), cars.lengths)
        lengths = np.bincount(sample, seen.sum(axis=1), len(cars.lengths))
        present = np.arange(int(lengths.max())) < lengths[:, None]

        def views(of_cars: Any, fill: Any = 0) -> Array:
            return padded(np.asarray(of_cars)[seen], present, fill)

        rig = np.asarray(columns["car_from_camera"], np.float64)
        number = np.arange(len(sample)) - cars.firsts[sample]
        shape = seen.shape
        return {
            "rgb": views(columns["rgb"]),
            "range_m": views(np.where(columns["valid"], columns["range_m"], 0.0)),
            **{name: views(columns[name]) for name in MASKS},
            "camera_pose": _single(views(cars.poses(columns)[:, None] @ rig, np.eye(4))),
            "car_from_view": _single(views(rig, np.eye(4))),
            "present": present,
            "full": bool(present.all()),
            "car": views(np.broadcast_to(number[:, None], shape)),
            "place": views(np.broadcast_to(np.arange(shape[1]), shape)),
            "synthetic": cars.synthetic(columns),
            "rows": views(np.broadcast_to(cars.rows[:, None], shape), -1),
            **(
                self._shared
                or _geometry(views(columns["K"], np.eye(3)), *columns["rgb"].shape[2:4])
            ),
        }


class FusedCameraSource(CoopSource):
    """Samples of panoramas, with the pictures that a model fuses instead of seeing the panorama.

    Truth, poses and masks are the panoramas'. A batch has `camera_rgb` [B, N, 4, h, w, 3] uint8,
    `camera_present` [B, N, 4] bool, `camera_intrinsics` [B, N, 4, 3, 3] and `view_from_camera`
    [B, N, 4, 4, 4] float32 besides the keys of `batch`.

    Args:
        stage_dir: Folder of a finished stage `panoramas`.
        cameras_dir: Folder of a finished stage `cameras`; cars that it skipped are in no sample.
        split: Such as `train`.
        settings: Which cars make a sample.
        training: Whether every car may be the main one.

    Raises:
        StorageError: There is no such stage, or it is damaged.
        ConfigError: The stages have no sample of that split.
    """

    def __init__(
        self,
        stage_dir: str | Path,
        cameras_dir: str | Path,
        split: str,
        settings: SampleSettings,
        *,
        training: bool,
    ) -> None:
        from gimbal.data.reading import BlockReader

        self._pictures = BlockReader(cameras_dir)
        keys = self._pictures.fetch(range(len(self._pictures)), KEYS)
        found = zip(*(keys[name] for name in KEYS), strict=True)
        self._row_of: dict[Key, int] = {tuple(key): row for row, key in enumerate(found)}
        super().__init__(stage_dir, split, settings, training=training)

    def usable(self, moments: tuple[CoopMoment, ...]) -> tuple[CoopMoment, ...]:
        """Return the moments all of whose cars have pictures."""
        return tuple(m for m in moments if all(key in self._row_of for key in _keys(m)))

    def fetch(self, indices: Array) -> dict[str, Any]:
        """Return a piece of samples; see `batch`, and above.

        Args:
            indices: int64 [B].
        """
        piece = super().fetch(indices)
        keys = [key for index in indices for key in _keys(self.moments[int(index)])]
        rows = np.array([self._row_of[key] for key in keys], np.int64)
        columns, present = self._pictures.fetch(rows, PICTURE_COLUMNS), piece["present"]
        return {
            **piece,
            "camera_rgb": padded(columns["rgb"], present),
            "camera_present": padded(np.asarray(columns["present"], np.bool_), present, False),
            "camera_intrinsics": _single(padded(columns["K"], present, np.eye(3))),
            "view_from_camera": _single(padded(columns["car_from_camera"], present, np.eye(4))),
        }


def _keys(moment: CoopMoment) -> list[Key]:
    return [(moment.split, moment.scenario, moment.frame, agent) for agent in moment.agents]


def _single(values: Array) -> Array:
    return values.astype(np.float32)


def _geometry(K: Array, height: int, width: int) -> dict[str, Array]:
    """Return rays [B, V, H, W, 3] and solid angles [B, V, H, W] of cameras that differ."""
    models = [Pinhole.from_matrix(one, height, width) for one in K.reshape(-1, 3, 3)]
    size = (*K.shape[:2], height, width)
    return {
        "rays": np.stack([m.rays() for m in models]).astype(np.float32).reshape(*size, 3),
        "solid_angle": np.stack([m.solid_angle() for m in models]).astype(np.float32).reshape(size),
    }
