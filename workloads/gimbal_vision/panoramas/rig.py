"""The cameras of one car: what a panorama is made from.

A rig is pure calibration. Two frames with equal calibration have the same `digest`, so tables that
depend on calibration alone are made once and found again by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_vision.cameras import Pinhole
from gimbal_vision.errors import CameraError
from gimbal_vision.poses import is_rigid

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

DIGEST_DECIMALS = 6
"""Poses that differ by less than a micrometre or microradian are the same rig: OPV2V's camera
poses are written to about that precision and wobble in the last digits from frame to frame."""


@dataclass(frozen=True, eq=False)
class RigCamera:
    """One camera of a rig.

    Attributes:
        name: Such as `camera0`.
        camera: Its intrinsics, of the image as it is (after any crop).
        car_from_camera: [4, 4] float64 pose in the car's frame; both frames have OpenCV axes.
    """

    name: str
    camera: Pinhole
    car_from_camera: FloatArray

    def __post_init__(self) -> None:
        """Refuse a pose that is none.

        Raises:
            CameraError: It is no rotation and translation.
        """
        pose = np.asarray(self.car_from_camera, np.float64)
        if pose.shape != (4, 4) or not is_rigid(pose):
            raise CameraError(
                f"the pose of {self.name} is no rotation and translation",
                "give a [4, 4] matrix without scale or reflection",
            )
        object.__setattr__(self, "car_from_camera", pose)


@dataclass(frozen=True, eq=False)
class Rig:
    """The cameras of one car, in the order of their names in the data.

    Attributes:
        cameras: At least one; names are unique.
    """

    cameras: tuple[RigCamera, ...]

    def __post_init__(self) -> None:
        """Refuse an empty rig and repeated names.

        Raises:
            CameraError: If there is no camera, or two share a name.
        """
        names = self.names
        if not names or len(set(names)) != len(names):
            raise CameraError(
                f"a rig of the cameras {list(names)}", "give at least one camera, each its own name"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras' names."""
        return tuple(c.name for c in self.cameras)

    @property
    def car_from_cameras(self) -> FloatArray:
        """[N, 4, 4] float64 poses in the car's frame."""
        return np.stack([c.car_from_camera for c in self.cameras])

    def only(self, names: Collection[str]) -> Rig:
        """Return the rig of those cameras that are named, in this rig's order.

        Raises:
            CameraError: None of them is there.
        """
        return Rig(tuple(c for c in self.cameras if c.name in names))

    @property
    def digest(self) -> str:
        """16 hex digits that equal calibrations share."""
        sha = hashlib.sha256()
        for c in self.cameras:
            k = c.camera
            numbers = np.array([k.fx, k.fy, k.cx, k.cy, *c.car_from_camera.ravel()])
            rounded = np.round(numbers, DIGEST_DECIMALS) + 0.0
            sha.update(f"{c.name} {k.height}x{k.width} {rounded.tolist()}".encode())
        return sha.hexdigest()[:16]
