"""Rays, points and ranges of one image, whatever its camera model.

Nothing here is NaN, and unknown pixels keep their shape: their range is 0 and their point lies at
the optical centre, which is what a range of 0 along any ray means. Ask `known` before using points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.errors import CameraError
from gimbal_vision.poses import is_rigid

Floats = np.ndarray[Any, np.dtype[np.float32]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class PointMap:
    """What a range image means.

    Attributes:
        rays: [H, W, 3] float32 unit directions, camera axes.
        points: [..., H, W, 3] float32, in the camera's axes or the world's, as asked for.
        depth_along_ray: [..., H, W, 1] float32 ranges, 0 where unknown.
        known: [..., H, W] bool.
    """

    rays: Floats
    points: Floats
    depth_along_ray: Floats
    known: Bools


def point_map(
    camera: CameraModel, range_m: ArrayLike, world_from_camera: ArrayLike | None = None
) -> PointMap:
    """Return rays, points and depths along the rays.

    Args:
        camera: Any model.
        range_m: [..., H, W] distances along the rays; 0, negative or not finite where unknown.
        world_from_camera: [4, 4] rigid pose: points are then in the world. None: in the camera's
            axes.

    Raises:
        CameraError: The ranges are not of the camera's size, or the pose is none.
    """
    pose = np.eye(4) if world_from_camera is None else np.asarray(world_from_camera, np.float64)
    if pose.shape != (4, 4) or not is_rigid(pose):
        raise CameraError(
            "world_from_camera is no rotation and translation",
            "give a [4, 4] matrix without scale or reflection",
        )
    rays = camera.rays()
    distance, known = _known_ranges(camera, range_m)
    points = distance[..., None] * (rays @ pose[:3, :3].T) + pose[:3, 3]
    return PointMap(
        rays=rays.astype(np.float32),
        points=points.astype(np.float32),
        depth_along_ray=distance[..., None].astype(np.float32),
        known=known,
    )


def range_from_z_depth(camera: Pinhole, z_depth_m: ArrayLike) -> Floats:
    """Return [..., H, W] float32 distances along the rays of a z-depth image, 0 where unknown.

    Args:
        camera: A pinhole; no other model has z-depths.
        z_depth_m: [..., H, W]; 0, negative or not finite where unknown.

    Raises:
        CameraError: The depths are not of the camera's size, or the camera is no pinhole.
    """
    z, _ = _known_ranges(_pinhole(camera), z_depth_m)
    return (z * camera.range_per_depth()).astype(np.float32)


def z_depth_from_range(camera: Pinhole, range_m: ArrayLike) -> Floats:
    """Return [..., H, W] float32 z-depths of a range image, 0 where unknown; see above."""
    distance, _ = _known_ranges(_pinhole(camera), range_m)
    return (distance / camera.range_per_depth()).astype(np.float32)


def _pinhole(camera: CameraModel) -> Pinhole:
    if not isinstance(camera, Pinhole):
        raise CameraError(
            f"a {camera.camera_model} image has no z-depth: z is 0 or negative in half of it",
            "keep ranges, the distances along the rays",
        )
    return camera


def _known_ranges(
    camera: CameraModel, range_m: ArrayLike
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], Bools]:
    distance = np.asarray(range_m, np.float64)
    if distance.shape[-2:] != (camera.height, camera.width):
        raise CameraError(
            f"depths of shape {distance.shape} do not fit a camera of "
            f"{camera.height} x {camera.width}",
            "give one depth for each pixel, [..., height, width]",
        )
    known = np.isfinite(distance) & (distance > 0)
    return np.where(known, distance, 0.0), known
